"""A suite's task as a study tests on it: its cells, the steps of each, and the rows there are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from spillover.errors import UserError
from spillover.evaluation.choice import ScoringKind
from spillover.evaluation.metrics import LOSSES, METRICS, OF_JSON
from spillover.prompts.template import Template, premise
from spillover.records import PLAIN, Cell, Example
from spillover.sources.asked_task import AskedModel, AskedTask
from spillover.steps.asked_rows import THE_TEST, AskedRows
from spillover.steps.confidence import Confidence
from spillover.steps.nearest import Nearest
from spillover.steps.predict import Predict
from spillover.steps.prepare import Prepare
from spillover.steps.score import Score
from spillover.steps.supervise_cells import Classify
from spillover.steps.supervise_variant import ClassifierVariant
from spillover.steps.verdicts import AskedVerdicts, Verdicts, WrittenVerdicts
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

    def asking(self, model: AskedModel, cell: Cell, rows: AskedRows = THE_TEST) -> Predict | Classify:
        """Return the step that asks a model in a cell: of its test, or of other rows as a threshold needs them.

        Whose verdicts stand in the prompts is asked the same rows.
        """
        if isinstance(model.variant, ClassifierVariant):
            limit = self.limit if rows.is_test else 0
            return Classify(model.base, model.variant, self.data, cell, limit, self.protocol, part=rows)
        return self._predict(model, cell, rows)

    def _score(self, model: AskedModel, cell: Cell) -> Score:
        if isinstance(model.variant, ClassifierVariant):
            return Score(self.asking(model, cell), self.metrics, ())
        is_choice = self.task.is_classification
        words, scoring = () if is_choice else model.trained_answers, self.scoring if is_choice else "raw"
        if scoring == "batch" and not self.task.answers:  # what an answer's share is on average needs the same answers
            scoring = "raw"
        predict = self._predict(model, cell)
        metrics = tuple(name for name in self.metrics if name not in LOSSES) if predict.nearest else self.metrics
        return Score(predict, metrics, words, scoring)

    @property
    def metrics(self) -> tuple[str, ...]:
        """The task's metrics and, where it has an answer set and accuracy, the parts of what accuracy lacks.

        These need content-free prompts, which items with demonstrations of their own have not.
        """
        is_similar = self.ask != PLAIN and self.asks[self.ask].ask.demonstrations.kind == "similar"
        has_losses = bool(self.task.answers) and "accuracy" in self.task.metrics and not is_similar
        return tuple(dict.fromkeys((*self.task.metrics, *(LOSSES if has_losses else ()))))

    def _predict(self, model: AskedModel, cell: Cell, rows: AskedRows = THE_TEST) -> Predict:
        is_text = not self.task.is_classification
        ask = self.asks[cell.ask].ask.at(cell.shots, is_text=is_text) if cell.ask != PLAIN else AS_PLAIN
        places = ask.receipts.where if ask.receipts else ()
        nearest = self._nearest(model, ask, rows) if ask.demonstrations.kind == "similar" else None
        shown = nearest.pool if nearest else AskedRows("demonstrations")
        return Predict(
            model.base,
            model.variant,
            self.data,
            self._templates[cell.prompt_form],
            cell,
            self.limit if rows.is_test else 0,
            self.protocol,
            model.precision,
            () if rows.of == "demonstrations" else self._priors_of(nearest, cell),
            model.checked_count(cell, self.cells) if rows.is_test else 0,
            ask,
            tuple((place, self._verdicts(model, ask, rows if place == "test" else shown, cell)) for place in places),
            rows,
            nearest,
        )

    def _nearest(self, model: AskedModel, ask: Ask, rows: AskedRows) -> Nearest:
        """Return what finds the demonstrations of every row that is asked."""
        similar = ask.demonstrations
        return Nearest(
            self.data,
            rows,
            model.pool if similar.pool == "train" else AskedRows("demonstrations"),
            self.limit if rows.is_test else 0,
            self.protocol,
            model.base,
            model.encoders[similar.encoder] if similar.encoder else None,
        )

    def _priors_of(self, nearest: Nearest | None, cell: Cell) -> tuple[ScoringKind, ...]:
        """Return what is asked beside the examples; behind demonstrations of its own each would need another prompt."""
        if nearest is None:
            return self._priors
        if self.scoring == "contextual" and self.task.is_classification:
            raise UserError(
                f"task {self.name!r} as {cell.ask!r}: contextual scoring needs the same demonstrations for every item, "
                "similar ones are each item's own; set scoring to batch, pmi or raw"
            )
        return tuple(prior for prior in self._priors if prior != "contextual")

    def _verdicts(self, model: AskedModel, ask: Ask, rows: AskedRows, cell: Cell) -> Verdicts | WrittenVerdicts:
        """Return what the classifier of an ask says of demonstrations, or of the rows that are asked, or writes.

        A language model is asked plainly and without demonstrations: of the test that is its own cell.
        """
        assert ask.receipts is not None
        variant = model.classifiers[ask.receipts.of]
        if reason := variant.cannot_answer(self):
            raise UserError(f"receipts of {variant.name!r} on {self.name!r}: {reason}; limit the ask with only.tasks")
        plain = Cell(self.name, cell.prompt_form, 0, self.demonstration_seeds[0])
        step = self.asking(replace(model, variant=variant), plain, rows)
        if self.task.is_classification:
            return AskedVerdicts(step, self.task.answers)
        assert isinstance(step, Predict)
        is_json = not set(OF_JSON).isdisjoint(self.task.metrics)
        return WrittenVerdicts(Confidence(step), is_json, ask.receipts.abstain_below)

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
