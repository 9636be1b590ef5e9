"""The two steps of every cell, wherever its task comes from: one asks a model, one scores what it answered."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from spillover.evaluation.choice import Scoring, chosen_answer
from spillover.models.precision import Precision
from spillover.models.spec import ResolvedModel
from spillover.records import (
    BASE,
    PLAIN,
    AskedItem,
    Cell,
    CellScores,
    FlipFloor,
    FloatArray,
    MetricCard,
    Prediction,
    PromptCard,
    TaskCard,
)
from spillover.steps.outside import changed_model
from spillover.steps.speed import Cost, Speed
from spillover.steps.step import Step, weights_in
from spillover.steps.variant import Variant
from spillover.steps.workshop import Workshop
from spillover.store import files
from spillover.store.store import Store

if TYPE_CHECKING:
    from transformers import PreTrainedModel

FACTS, PROMPT, STATISTICS = "facts.json", "prompt.json", "statistics.json"


@dataclass(frozen=True, slots=True)
class Answered:
    """What a model answered in a cell."""

    predictions: Sequence[Prediction]
    prompt: PromptCard
    compare: Callable[[PreTrainedModel], FlipFloor] | None = None
    """Says how the predictions differ from those of the same model in float32; None where they cannot."""
    dropped: Mapping[str, int] = field(default_factory=dict)
    """Reason to rows of the task that were left out."""


@dataclass(frozen=True)
class AskCell(Step):
    """Ask one model everything of one cell, and `write_answers`."""

    base: ResolvedModel
    variant: Variant | None
    """None asks the base itself."""

    if TYPE_CHECKING:  # fields of some, properties of others: a property here would be a field's default

        @property
        @abstractmethod
        def cell(self) -> Cell:
            """Where it is asked."""

        @property
        @abstractmethod
        def precision(self) -> Precision:
            """Of the weights."""

        @property
        @abstractmethod
        def checked_count(self) -> int:
            """Items that are also computed in exact arithmetic; changes no prediction, so it is part of no key."""

    @property
    def model(self) -> str:
        """The id of the model that is asked."""
        return self.variant.variant if self.variant else BASE

    @property
    def label(self) -> str:
        asked = "" if self.cell.ask == PLAIN else f" as {self.cell.ask}"
        return f"ask {self.model} {self.cell.tested_on} at {self.cell.shots} shots{asked}"

    def outside_fault(self, cache: Path) -> str | None:
        return self.variant.outside_fault(cache) if self.variant else changed_model(self.base, cache)

    def memory_bytes(self, shapes: Mapping[str, tuple[int, ...]]) -> int:
        exact = 4 if self.checked_count and self.precision != "float32" else 0  # a copy that some items are asked of
        return ({"float32": 4, "bfloat16": 2}[self.precision] + exact) * weights_in(shapes)

    @property
    def notes(self) -> tuple[str, ...]:
        """What is to be said of the answers, a sentence each."""
        return ()

    @abstractmethod
    def asked_items(self, workshop: Workshop) -> Sequence[AskedItem]:
        """Return every item of the finished cell as it was asked, without loading a model or a tokenizer."""

    def write_answers(self, folder: Path, answered: Answered, model: PreTrainedModel | None = None) -> None:
        """Write what the model answered, and how it differs from exact arithmetic on some items."""
        files.write_predictions(folder / files.PREDICTIONS, answered.predictions)
        files.write_prompt(folder / PROMPT, answered.prompt)
        facts: dict[str, object] = {"dropped": answered.dropped, "item_count": len(answered.predictions)}
        if self.checked_count and model and (floor := self._flip_floor(answered, model)):
            facts["flip_floor"] = asdict(floor)
        files.write_json(folder / FACTS, facts)

    def _flip_floor(self, answered: Answered, model: PreTrainedModel) -> FlipFloor | None:
        """Compare with exact arithmetic, where memory allows; in float32 more than rounding is a fault of ours."""
        from spillover.evaluation.exactness import check_exact
        from spillover.models.exact import in_float32

        exact = in_float32(model)
        if exact is None or answered.compare is None:
            return None
        floor = answered.compare(exact)
        if self.precision == "float32":
            check_exact(floor, where=self.label)
        return floor

    def facts(self, store: Store) -> Mapping[str, Any]:
        """Return what is known of the finished cell: ``dropped``, ``item_count`` and perhaps ``flip_floor``."""
        return files.read_json(store.file(self, FACTS))  # type: ignore[no-any-return]

    def prompt(self, store: Store) -> PromptCard:
        """Return the rendered prompt of the finished cell."""
        return files.read_prompt(store.file(self, PROMPT))

    def answered(self, store: Store) -> list[Prediction]:
        """Return the finished cell's predictions."""
        return files.read_predictions(store.file(self, files.PREDICTIONS))


@dataclass(frozen=True, slots=True)
class TaskScores:
    """What models scored in cells of one tested task, in the metrics that all of them have."""

    metrics: Mapping[str, MetricCard]
    compared_by: str
    """The metric by which items are compared: it says of one item alone how good its answer is."""
    scores: tuple[CellScores, ...]
    """Step by step."""
    notes: tuple[str, ...] = ()
    """A sentence for every metric or label that is left out."""


@dataclass(frozen=True)
class ScoreCell(Step):
    """Turn a cell's predictions into per-example statistics of metrics; ``compute`` writes `STATISTICS`."""

    predictions: AskCell

    @property
    def label(self) -> str:
        cell = self.predictions.cell
        return f"score {self.predictions.model} {cell.tested_on}" + ("" if cell.ask == PLAIN else f" as {cell.ask}")

    def inputs(self) -> Mapping[str, Step]:
        return {"predictions": self.predictions}

    def work(self, workshop: Workshop) -> float:
        return 1.0

    def cost(self, work: float, workshop: Workshop, speed: Speed) -> Cost:
        return Cost()  # seconds of a whole study

    def outside_fault(self, cache: Path) -> str | None:
        return None

    @property
    def rule(self) -> Scoring:
        """How answers are compared, as far as it is known before any is given."""
        return Scoring()

    def finished_rule(self, store: Store) -> Scoring:
        """Return how the finished cell's answers are compared."""
        return self.rule

    @property
    def is_answered(self) -> bool:
        """Whether the model chooses or writes something."""
        return True

    def answer_text(self, prediction: Prediction, rule: Scoring) -> str:
        """Return an answer as it is shown; ``rule`` is the finished cell's."""
        return chosen_answer(prediction, rule)

    def answer_fault(self, prediction: Prediction, rule: Scoring) -> str:
        """Return what may be the task's fault in an answer rather than the model's; empty for none."""
        return ""

    def statistics(self, store: Store) -> tuple[tuple[str, ...], dict[str, FloatArray]]:
        """Return the finished step's item ids and, for each metric, its statistics ``(n, k)``."""
        return files.read_statistics(store.file(self, STATISTICS))

    def cell_scores(self, store: Store, groups: Mapping[str, str] | None = None) -> list[CellScores]:
        """Return the finished step's statistics, metric by metric; ``groups`` is the source of each item by its id."""
        asked, (ids, statistics) = self.predictions, self.statistics(store)
        sources = tuple(groups[name] for name in ids) if groups else ()
        return [
            CellScores(asked.model, asked.cell, metric, ids, values, sources) for metric, values in statistics.items()
        ]

    @classmethod
    @abstractmethod
    def task_scores(cls, steps: Sequence[Self], workshop: Workshop) -> TaskScores:
        """Return what finished steps of one tested task scored."""

    @abstractmethod
    def task_card(self, metrics: Mapping[str, MetricCard], store: Store) -> TaskCard:
        """Return what a report says of the tested task and the metrics found, by what was answered in this cell."""
