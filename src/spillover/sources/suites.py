"""A suite's task as a study tests on it: its cells, the steps of each, and the rows there are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from spillover.errors import UserError
from spillover.evaluation.choice import ScoringKind
from spillover.evaluation.metrics import LOSSES, METRICS
from spillover.models.spec import ResolvedModel
from spillover.prompts.template import Template, premise
from spillover.records import Cell, Example
from spillover.sources.asked_task import AskedModel, AskedTask
from spillover.steps.predict import Predict
from spillover.steps.prepare import Prepare
from spillover.steps.score import Score
from spillover.steps.supervise_cells import Classify
from spillover.steps.supervise_variant import ClassifierVariant
from spillover.steps.workshop import Workshop
from spillover.tasks.prepare import Protocol
from spillover.tasks.task import Task


@dataclass(frozen=True, kw_only=True)
class SuiteTask(AskedTask):
    """A task of the study's suite.

    Raises:
        UserError: It cannot have one of its metrics.
    """

    task: Task
    data: Prepare
    shots: tuple[int, ...]
    prompt_forms: tuple[int, ...]
    demonstration_seeds: tuple[int, ...]
    protocol: Protocol
    scoring: ScoringKind
    """Of answer sets and options."""

    def __post_init__(self) -> None:
        """Refuse metrics that the task cannot have."""
        for name in self.task.metrics:
            needs = METRICS[name].needs
            if needs != "any answer" and not (self.task.answers or (needs == "a choice" and self.task.options)):
                raise UserError(f"task {self.name!r}: the metric {name!r} needs {needs}; remove it from metrics")

    @property
    def answers(self) -> tuple[str, ...]:
        return self.task.label_set

    @property
    def may_enter_means(self) -> bool:
        card = METRICS[self.task.primary_metric].card
        return card.unit == "share" and card.higher_is_better

    @cached_property
    def cells(self) -> tuple[Cell, ...]:
        """Every cell, shot counts in rising order."""
        return tuple(
            Cell(self.name, form, shots, seed)
            for form in self.prompt_forms
            for seed in self.demonstration_seeds
            for shots in sorted(self.shots)
            if shots or seed == self.demonstration_seeds[0]  # without demonstrations their seed changes nothing
        )

    @cached_property
    def _templates(self) -> Mapping[int, str]:
        suite, cache = self.data.suite, self.data.cache
        templates = {form: suite.template(self.task, form, cache=cache).text for form in self.prompt_forms}
        for form, text in templates.items():
            if self.scoring == "pmi" and self.task.is_classification and not premise(Template(text)):
                raise UserError(
                    f"task {self.name!r}: prompt {form} ends with a field; pmi scoring needs words after it, such as "
                    "'Answer:'; change the prompt or the scoring"
                )
        return templates

    def scores(self, model: AskedModel) -> list[Score]:
        """Return the steps that score a model in every cell, in order.

        Raises:
            UserError: A prompt cannot serve the scoring.
        """
        if isinstance(model.variant, ClassifierVariant):
            return [Score(self._classify(model.base, model.variant, cell), self.metrics, ()) for cell in self.cells]
        is_choice = self.task.is_classification
        words, scoring = () if is_choice else model.trained_answers, self.scoring if is_choice else "raw"
        return [Score(self._predict(model, cell), self.metrics, words, scoring) for cell in self.cells]

    @property
    def metrics(self) -> tuple[str, ...]:
        """The task's metrics and, where it has an answer set and accuracy, the parts of what accuracy lacks."""
        has_losses = bool(self.task.answers) and "accuracy" in self.task.metrics
        return tuple(dict.fromkeys((*self.task.metrics, *(LOSSES if has_losses else ()))))

    def _predict(self, model: AskedModel, cell: Cell) -> Predict:
        return Predict(
            model.base,
            model.variant,
            self.data,
            self._templates[cell.prompt_form],
            cell,
            self.limit,
            self.protocol,
            model.precision,
            self._priors,
            model.checked_count(cell, self.cells),
        )

    def _classify(self, base: ResolvedModel, variant: ClassifierVariant, cell: Cell) -> Classify:
        return Classify(base, variant, self.data, cell, self.limit, self.protocol)

    @property
    def _priors(self) -> tuple[ScoringKind, ...]:
        """What is asked beside the examples: for an answer set always, since that costs four short prompts."""
        if self.task.answers:
            return ("contextual", "pmi")
        return (self.scoring,) if self.task.options and self.scoring != "raw" else ()

    def rows(self, workshop: Workshop) -> Sequence[Example]:
        """Return all rows that the task could be tested on, of which the first are asked."""
        return self.data.tested_rows(workshop, self.protocol)[0]

    def unit_count(self, workshop: Workshop) -> int:
        return sum(first < self.limit for first in self._firsts(workshop))

    def limit_for(self, unit_count: int, workshop: Workshop) -> int | None:
        firsts = self._firsts(workshop)
        return firsts[unit_count - 1] + 1 if unit_count <= len(firsts) else None

    def _firsts(self, workshop: Workshop) -> list[int]:
        """Return the place of the first row of every source, in rising order."""
        places: dict[str, int] = {}
        for place, row in enumerate(self.rows(workshop)):
            places.setdefault(row.group or row.id, place)
        return list(places.values())
