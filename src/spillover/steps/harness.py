"""The steps that ask a model a task of lm-eval through our engine, and score its answers by lm-eval's own code."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from spillover.errors import SpilloverError
from spillover.evaluation.choice import Scoring
from spillover.evaluation.harness.aggregations import primary_metric
from spillover.evaluation.harness.asked import HarnessCell, MetricRule, Response
from spillover.evaluation.harness.floors import harness_floors
from spillover.models.precision import Precision
from spillover.records import AskedItem, Cell, FlipFloor, FloatArray, MetricCard, Prediction, TaskCard
from spillover.steps.cell_steps import STATISTICS, Answered, AskCell, ScoreCell, TaskScores
from spillover.steps.predict import asked_model
from spillover.steps.speed import Cost, Speed
from spillover.steps.step import Step, Told
from spillover.steps.workshop import Workshop
from spillover.store import files
from spillover.store.identity import digest
from spillover.store.store import Store

if TYPE_CHECKING:
    from transformers import PreTrainedModel

RESPONSES = "responses.json"
RULES = "metrics.json"


@dataclass(frozen=True)
class AskHarness(AskCell):
    """Ask one model everything of one cell of an lm-eval task."""

    kind: ClassVar[str] = "lm-eval-predict"
    version: ClassVar[int] = 1
    asked: HarnessCell
    precision: Precision
    checked_count: int = 0

    @property
    def cell(self) -> Cell:
        """Where it is asked."""
        return self.asked.cell

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
        from spillover.evaluation.harness.flip_floor import PlainLM, choice_flip_floor
        from spillover.evaluation.harness.lm import EngineLM
        from spillover.models.tokenizer import load_tokenizer

        loaded = asked_model(self.base, self.variant, self.precision, workshop)
        lm = EngineLM(loaded.model, load_tokenizer(self.base.path))
        responses = self.asked.ask(lm)
        predictions = self.asked.predictions(responses)
        files.write_json(folder / RESPONSES, responses)

        def compare(exact: PreTrainedModel) -> FlipFloor:
            plain = PlainLM(exact, load_tokenizer(self.base.path))
            return choice_flip_floor(plain, self.asked, predictions, item_count=self.checked_count)

        self.write_answers(folder, Answered(predictions, self.asked.card(lm), compare), loaded.model)

    def work(self, workshop: Workshop) -> float:
        return self.asked.token_count

    def cost(self, work: float, workshop: Workshop, speed: Speed) -> Cost:
        return speed.asked_token * work

    def asked_items(self, workshop: Workshop) -> list[AskedItem]:
        return self.asked.asked_items()

    def responses(self, store: Store) -> list[list[Response]]:
        """Return the answers as lm-eval takes them."""
        rows = files.read_json(store.file(self, RESPONSES))
        return [[tuple(entry) if isinstance(entry, list) else entry for entry in row] for row in rows]


@dataclass(frozen=True)
class ScoreHarness(ScoreCell):
    """Turn the answers of one cell of an lm-eval task into per-item statistics of its metrics."""

    kind: ClassVar[str] = "lm-eval-score"
    version: ClassVar[int] = 1
    predictions: AskHarness

    def fields(self) -> Mapping[str, Any]:
        return {}

    def compute(self, folder: Path, workshop: Workshop, told: Told) -> None:
        """Score a model's answers and write their statistics."""
        source = self.predictions
        scores = source.asked.scores(source.responses(workshop.store))
        ids = [item.id for item in source.asked.items]
        files.write_statistics(folder / STATISTICS, ids, scores.statistics)
        rules = {name: asdict(rule) for name, rule in scores.rules.items()}
        files.write_json(folder / RULES, {"rules": rules, "left_out": scores.left_out})

    @property
    def is_answered(self) -> bool:
        return self.predictions.asked.is_answered

    def answer_text(self, prediction: Prediction, rule: Scoring) -> str:
        """Return the answer; where texts are scored, the log-likelihood of the first."""
        if prediction.log_likelihoods and not prediction.options:
            return f"{prediction.log_likelihoods[0]:.2f} nats"
        return super().answer_text(prediction, rule)

    @classmethod
    def task_scores(cls, steps: Sequence[ScoreHarness], workshop: Workshop) -> TaskScores:
        store = workshop.store
        read = [step.cell_scores(store) for step in steps]
        shared = set.intersection(*({scored.metric for scored in of_step} for of_step in read))
        if not shared:
            raise SpilloverError(f"{read[0][0].cell.tested_on}: no metric is a number for every item of every model")
        scores = tuple(scored for of_step in read for scored in of_step if scored.metric in shared)
        columns: dict[str, list[FloatArray]] = {}
        for scored in scores:
            columns.setdefault(scored.metric, []).append(scored.statistics)
        rules = {name: MetricRule(**rule) for name, rule in steps[0].rules(store)["rules"].items()}
        metrics = {name: rules[name].card(name, values) for name, values in columns.items()}
        notes = sorted({note for step in steps for note in step.rules(store)["left_out"]})
        return TaskScores(metrics, primary_metric(metrics), scores, tuple(notes))

    def task_card(self, metrics: Mapping[str, MetricCard], store: Store) -> TaskCard:
        asked, predictions = self.predictions.asked, self.predictions.answered(store)
        options = [prediction.options for prediction in predictions]
        targets = Counter(prediction.target for prediction in predictions)
        has_answer_set = bool(options[0]) and len(set(options)) == 1
        known = harness_floors(asked, metrics)
        return TaskCard(
            asked.task.name,
            asked.task.family,
            asked.task.domain,
            options[0] if has_answer_set else (),
            primary_metric(metrics),
            len(predictions),
            targets.most_common(1)[0][1] / len(predictions) if has_answer_set else None,
            {},
            chance_accuracy=sum(1 / len(row) for row in options) / len(options) if all(options) else None,
            floors=known.floors,
            constant_scores=known.constant_scores,
        )

    def rules(self, store: Store) -> Mapping[str, Any]:
        """Return how statistics become values: ``rules``, metric to rule, and ``left_out``, a sentence each."""
        return files.read_json(store.file(self, RULES))  # type: ignore[no-any-return]
