"""A suite's task as a study tests on it: its cells, the steps of each, and the rows there are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from spillover.errors import UserError
from spillover.evaluation.choice import ScoringKind
from spillover.evaluation.metrics import LOSSES, METRICS
from spillover.models.spec import ResolvedModel
from spillover.prompts.receipts import Place
from spillover.prompts.template import Template, premise
from spillover.records import PLAIN, Cell, Example
from spillover.sources.asked_task import AskedModel, AskedTask
from spillover.steps.predict import Predict
from spillover.steps.prepare import Prepare
from spillover.steps.score import Score
from spillover.steps.supervise_cells import Classify
from spillover.steps.supervise_variant import ClassifierVariant
from spillover.steps.verdicts import AskedVerdicts, Verdicts
from spillover.steps.workshop import Workshop
from spillover.tasks.ask import AS_PLAIN, Ask, NamedAsk
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
    ask: str = PLAIN
    """The primary ask."""
    asks: Mapping[str, NamedAsk] = field(default_factory=dict)
    """Every ask but the plain one, by name."""

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
        """Every cell of the primary ask, shot counts in rising order."""
        return tuple(
            Cell(self.name, form, shots, seed, self.ask)
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
        return [self._score(model, cell) for cell in self.cells]

    def asked_otherwise(self, model: AskedModel) -> list[Score]:
        """Return the steps that score a model in every cell of its other asks.

        Where an ask changes nothing, as one of demonstrations where there are none, they are the plain cell's steps.
        """
        return [
            self._score(model, replace(cell, ask=name))
            for name in model.asks
            for cell in self.cells
            if name == PLAIN or self.asks[name].covers(cell)
        ]

    def _score(self, model: AskedModel, cell: Cell) -> Score:
        if isinstance(model.variant, ClassifierVariant):
            return Score(self._classify(model.base, model.variant, cell), self.metrics, ())
        is_choice = self.task.is_classification
        words, scoring = () if is_choice else model.trained_answers, self.scoring if is_choice else "raw"
        if scoring == "batch" and not self.task.answers:  # what an answer's share is on average needs the same answers
            scoring = "raw"
        return Score(self._predict(model, cell), self.metrics, words, scoring)

    @property
    def metrics(self) -> tuple[str, ...]:
        """The task's metrics and, where it has an answer set and accuracy, the parts of what accuracy lacks."""
        has_losses = bool(self.task.answers) and "accuracy" in self.task.metrics
        return tuple(dict.fromkeys((*self.task.metrics, *(LOSSES if has_losses else ()))))

    def _predict(self, model: AskedModel, cell: Cell) -> Predict:
        ask = self.asks[cell.ask].ask.at(cell.shots) if cell.ask != PLAIN else AS_PLAIN
        places = ask.receipts.where if ask.receipts else ()
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
            ask,
            tuple((place, self._verdicts(model, ask, place, cell)) for place in places),
        )

    def _classify(self, base: ResolvedModel, variant: ClassifierVariant, cell: Cell) -> Classify:
        return Classify(base, variant, self.data, cell, self.limit, self.protocol)

    def _verdicts(self, model: AskedModel, ask: Ask, place: Place, cell: Cell) -> Verdicts:
        """Return what the classifier of an ask says of demonstrations, or of the test.

        A language model is asked plainly and without demonstrations: of the test that is its own cell.
        """
        assert ask.receipts is not None
        variant = model.classifiers[ask.receipts.of]
        if isinstance(variant, ClassifierVariant):
            if reason := variant.cannot_answer(self):
                raise UserError(
                    f"receipts of {variant.name!r} on {self.name!r}: {reason}; limit the ask with only.tasks"
                )
            plain = replace(cell, ask=PLAIN)
            return AskedVerdicts(replace(self._classify(model.base, variant, plain), part=place), self.task.answers)
        who = replace(model, variant=variant)
        step = self._predict(who, Cell(self.name, cell.prompt_form, 0, self.demonstration_seeds[0]))
        if place == "demonstrations":
            step = replace(step, rows="demonstrations", test_limit=0, priors=(), checked_count=0)
        return AskedVerdicts(step, self.task.answers)

    @property
    def _priors(self) -> tuple[ScoringKind, ...]:
        """What is asked beside the examples: for an answer set always, since that costs four short prompts."""
        if self.task.answers:
            return ("contextual", "pmi")
        return (self.scoring,) if self.task.options and self.scoring in ("contextual", "pmi") else ()

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
