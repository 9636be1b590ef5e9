"""The steps that ask a model a task of lm-eval through our engine, and score its answers by lm-eval's own code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from spillover.evaluation.harness.asked import HarnessCell, HarnessScores, Response
from spillover.models.precision import Precision
from spillover.models.spec import ResolvedModel
from spillover.records import BASE, Cell, FlipFloor, FloatArray, Prediction, PromptCard
from spillover.steps.predict import FACTS, PROMPT, asked_model
from spillover.steps.score import STATISTICS
from spillover.steps.speed import Cost, Speed
from spillover.steps.step import Step, Told
from spillover.steps.variant import Variant
from spillover.steps.workshop import Workshop
from spillover.store import files
from spillover.store.identity import digest
from spillover.store.store import Store

if TYPE_CHECKING:
    from transformers import PreTrainedModel

RESPONSES = "responses.json"
RULES = "metrics.json"


@dataclass(frozen=True)
class AskHarness(Step):
    """Ask one model everything of one cell of an lm-eval task."""

    kind: ClassVar[str] = "lm-eval-predict"
    version: ClassVar[int] = 1
    base: ResolvedModel
    variant: Variant | None
    """None asks the base itself."""
    asked: HarnessCell
    precision: Precision
    checked_count: int = 0
    """Items that are also computed in exact arithmetic; changes no answer, so it is not part of the key."""

    @property
    def model(self) -> str:
        """The id of the model that is asked."""
        return self.variant.variant if self.variant else BASE

    @property
    def cell(self) -> Cell:
        """Where it is asked."""
        return self.asked.cell

    @property
    def label(self) -> str:
        return f"ask {self.model} {self.cell.tested_on} at {self.cell.shots} shots"

    @cached_property
    def _fields(self) -> Mapping[str, Any]:
        return {
            "base": self.base.fingerprint,
            "tokenizer": self.base.tokenizer_fingerprint,
            "precision": self.precision,
            "lm_eval": version("lm-eval"),
            "task": digest(self.asked.task.settings),
            **self.asked.digests,
        }

    def fields(self) -> Mapping[str, Any]:
        return self._fields

    def inputs(self) -> Mapping[str, Step]:
        return {"variant": self.variant} if self.variant else {}

    def compute(self, folder: Path, workshop: Workshop, told: Told) -> None:
        """Ask a model and write its answers, as lm-eval takes them and in the terms of this package."""
        from spillover.evaluation.harness.lm import EngineLM
        from spillover.models.tokenizer import load_tokenizer

        loaded = asked_model(self.base, self.variant, self.precision, workshop)
        lm = EngineLM(loaded.model, load_tokenizer(self.base.path))
        responses = self.asked.ask(lm)
        predictions = self.asked.predictions(responses)
        files.write_json(folder / RESPONSES, responses)
        files.write_predictions(folder / files.PREDICTIONS, predictions)
        files.write_prompt(folder / PROMPT, self.asked.card(lm))
        facts: dict[str, object] = {"dropped": {}, "item_count": len(responses)}
        if self.checked_count and (floor := self._flip_floor(loaded.model, predictions)):
            facts["flip_floor"] = asdict(floor)
        files.write_json(folder / FACTS, facts)

    def _flip_floor(self, model: PreTrainedModel, predictions: Sequence[Prediction]) -> FlipFloor | None:
        """Compare with exact arithmetic, where memory allows; in float32 more than rounding is a fault of ours."""
        from spillover.evaluation.exactness import check_exact
        from spillover.evaluation.harness.exactness import PlainLM, choice_flip_floor
        from spillover.models.exact import in_float32
        from spillover.models.tokenizer import load_tokenizer

        exact = in_float32(model)
        if exact is None:
            return None
        plain = PlainLM(exact, load_tokenizer(self.base.path))
        floor = choice_flip_floor(plain, self.asked, predictions, item_count=self.checked_count)
        if self.precision == "float32":
            check_exact(floor, where=self.label)
        return floor

    def work(self, workshop: Workshop) -> float:
        return self.asked.token_count

    def cost(self, work: float, workshop: Workshop, speed: Speed) -> Cost:
        return speed.asked_token * work

    def facts(self, store: Store) -> Mapping[str, Any]:
        """Return what is known of the finished cell: ``dropped``, ``item_count`` and perhaps ``flip_floor``."""
        return files.read_json(store.file(self, FACTS))  # type: ignore[no-any-return]

    def prompt(self, store: Store) -> PromptCard:
        """Return the rendered prompt of the finished cell."""
        return files.read_prompt(store.file(self, PROMPT))

    def answered(self, store: Store) -> list[Prediction]:
        """Return the finished cell's answers."""
        return files.read_predictions(store.file(self, files.PREDICTIONS))

    def responses(self, store: Store) -> list[list[Response]]:
        """Return the answers as lm-eval takes them."""
        rows = files.read_json(store.file(self, RESPONSES))
        return [[tuple(entry) if isinstance(entry, list) else entry for entry in row] for row in rows]


@dataclass(frozen=True)
class ScoreHarness(Step):
    """Turn the answers of one cell of an lm-eval task into per-item statistics of its metrics."""

    kind: ClassVar[str] = "lm-eval-score"
    version: ClassVar[int] = 1
    predictions: AskHarness

    @property
    def label(self) -> str:
        return f"score {self.predictions.model} {self.predictions.cell.tested_on}"

    def fields(self) -> Mapping[str, Any]:
        return {}

    def inputs(self) -> Mapping[str, Step]:
        return {"predictions": self.predictions}

    def compute(self, folder: Path, workshop: Workshop, told: Told) -> None:
        """Score a model's answers and write their statistics."""
        source = self.predictions
        scores: HarnessScores = source.asked.scores(source.responses(workshop.store))
        ids = [item.id for item in source.asked.items]
        files.write_statistics(folder / STATISTICS, ids, scores.statistics)
        rules = {name: asdict(rule) for name, rule in scores.rules.items()}
        files.write_json(folder / RULES, {"rules": rules, "left_out": scores.left_out})

    def work(self, workshop: Workshop) -> float:
        return 1.0

    def cost(self, work: float, workshop: Workshop, speed: Speed) -> Cost:
        return Cost()  # seconds of a whole study

    def statistics(self, store: Store) -> tuple[tuple[str, ...], dict[str, FloatArray]]:
        """Return the finished step's item ids and, for each metric, its statistics ``(n, k)``."""
        return files.read_statistics(store.file(self, STATISTICS))

    def rules(self, store: Store) -> Mapping[str, Any]:
        """Return how statistics become values: ``rules``, metric to rule, and ``left_out``, a sentence each."""
        return files.read_json(store.file(self, RULES))  # type: ignore[no-any-return]
