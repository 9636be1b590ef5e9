"""A study as frozen data, and the grid of steps it stands for."""

from __future__ import annotations

import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any

from spillover.errors import UserError
from spillover.evaluation.choice import ScoringKind
from spillover.evaluation.harness.asked import HarnessCell
from spillover.evaluation.metrics import LOSSES, METRICS
from spillover.models.precision import Precision
from spillover.models.spec import ResolvedModel
from spillover.prompts.template import Template, premise
from spillover.records import BASE, Cell
from spillover.steps.adopt import Adopt
from spillover.steps.derive import Derive
from spillover.steps.finetune import Finetune
from spillover.steps.harness import AskHarness, ScoreHarness
from spillover.steps.predict import Predict
from spillover.steps.prepare import Prepare
from spillover.steps.rows import Rows
from spillover.steps.score import Score
from spillover.steps.step import Step, with_inputs
from spillover.steps.validate import VALIDATION_ROWS, Validate
from spillover.steps.variant import Variant
from spillover.store.store import Store
from spillover.study.design import Designed, Part
from spillover.study.study_file import StudyFile
from spillover.tasks.mixture import Mixture
from spillover.tasks.prepare import Protocol
from spillover.tasks.suite import Suite
from spillover.tasks.task import Task
from spillover.training.optimization import TrainingSettings
from spillover.training.settings import Recipe

CHECKED_COUNT = 4
"""Items of a cell that are also computed in exact arithmetic, at a task's largest shot count only: a handful is enough
to find a fault, and the exact path runs the whole prompt for every item."""


class Asks(typing.Protocol):
    """A question, as far as a study knows it."""

    @property
    def name(self) -> str:
        """Under which its facts are kept."""

    @property
    def design_keys(self) -> tuple[str, ...]:
        """The keys of a study file by which it adds variants."""

    def expand(self, settings: StudyFile) -> Sequence[Designed]:
        """Return the variants that a study file asks for by them."""

    def steps(self, study: Study) -> Sequence[Step]:
        """Return what is to be done beyond the grid, each of one variant; a report does without what is missing."""

    def facts(self, study: Study, store: Store, model: Variant) -> Mapping[str, Any]:
        """Return what the question knows of a finished variant, as plain data for its card."""


@dataclass(frozen=True, kw_only=True)
class VariantPlan:
    """One way of fine-tuning, to be done for every task, size and seed."""

    name: str
    train_on: tuple[Task, ...]
    sizes: tuple[int, ...]
    recipe: Recipe
    settings: TrainingSettings
    replayed: tuple[Task, ...] = ()
    """Tasks whose training rows the recipe mixes in."""
    mixture: Mixture | None = None
    """How the one task is mixed with ``added``; None trains on it alone."""
    added: tuple[Task, ...] = ()
    part: Part | None = None
    """What it is there for in a question's design; None for a variant of the study file's own."""


@dataclass(frozen=True, kw_only=True)
class Study:
    """Everything a study file says, resolved."""

    name: str
    base: ResolvedModel
    suite: Suite
    variants: tuple[VariantPlan, ...]
    test_on: tuple[Task, ...]
    shots: Mapping[str, tuple[int, ...]]
    """Tested task to shot counts."""
    prompt_forms: tuple[int, ...]
    test_limits: Mapping[str, int]
    """Tested task to the most test rows that are asked."""
    seeds: tuple[int, ...]
    demonstration_seeds: tuple[int, ...]
    precision: Precision
    protocol: Protocol
    cache: Path
    """Where models and archives are kept."""
    skipped: tuple[str, ...]
    """Cells the study asked for that do not exist, one sentence each."""
    source: Mapping[str, Any]
    """The resolved settings as plain data, to be written beside the report."""
    scoring: ScoringKind = "raw"
    watch: int = 0
    """Optimizer steps from one look at forgetting to the next; 0 does not look."""
    margin: float = 0.02
    """Losses up to this share count as nothing lost; part of no key."""
    harness: tuple[HarnessCell, ...] = ()
    """Cells of lm-eval's tasks, asked of every model."""
    adopted: tuple[Adopt, ...] = ()
    """Variants that were trained elsewhere."""
    track: str | None = None
    """The tracker that trainings are sent to; part of no key."""
    questions: tuple[Asks, ...] = ()
    """What is asked beyond the matrix."""
    origin: tuple[str, ...] = ()
    """What tells it from other studies of its name: the whole path of its file; part of no key."""
    left_out: tuple[VariantPlan, ...] = ()
    """What a budget dropped: what it would train on is no validation row of the others either."""

    def __post_init__(self) -> None:
        """Refuse metrics that a tested task cannot have, and tests that give no verdict."""
        for task in self.test_on:
            for name in task.metrics:
                needs = METRICS[name].needs
                if needs != "any answer" and not (task.answers or (needs == "a choice" and task.options)):
                    raise UserError(f"task {task.name!r}: the metric {name!r} needs {needs}; remove it from metrics")
        shares = [METRICS[task.primary_metric].card.unit == "share" for task in self.test_on]
        if self.harness and not any((*shares, *(cell.task.may_enter_means for cell in self.harness))):
            raise UserError("no tested task has a share such as accuracy as its metric; add one to test_on")

    @cached_property
    def _tasks(self) -> tuple[Task, ...]:
        plans = (*self.variants, *self.left_out)
        trained = [task for plan in plans for task in (*plan.train_on, *plan.replayed, *plan.added)]
        return tuple({task.name: task for task in (*trained, *self.test_on)}.values())

    @cached_property
    def _prepare(self) -> Mapping[str, Prepare]:
        return {task.name: Prepare(self.suite, task, self.cache) for task in self._tasks}

    @cached_property
    def _templates(self) -> Mapping[tuple[str, int], str]:
        forms = {1, *self.prompt_forms}  # variants train on the first
        return {
            (task.name, form): self.suite.template(task, form, cache=self.cache).text
            for task in self._tasks
            for form in forms
            if form in task.prompts
        }

    @cached_property
    def finetunes(self) -> tuple[Finetune, ...]:
        """One training a plan, task, size and seed."""
        return tuple(step for _, step in self._trainings(self.variants))

    @cached_property
    def designed(self) -> tuple[Finetune, ...]:
        """The trainings that questions added, those that a budget dropped among them."""
        return tuple(step for plan, step in self._trainings((*self.variants, *self.left_out)) if plan.part)

    @cached_property
    def _parts(self) -> Mapping[str, Part | None]:
        return {step.variant: plan.part for plan, step in self._trainings(self.variants)}

    def part_of(self, model: Variant) -> Part | None:
        """Return what a variant is there for in a question's design; None for one of the study file's own."""
        return self._parts[model.trained.variant] if isinstance(model, Finetune | Derive) else None

    def _trainings(self, plans: tuple[VariantPlan, ...]) -> Iterator[tuple[VariantPlan, Finetune]]:
        for plan in plans:
            for task, size, seed in product(plan.train_on, plan.sizes, self.seeds):
                yield plan, self._training(plan, task, size, seed)

    def _training(self, plan: VariantPlan, task: Task, size: int, seed: int) -> Finetune:
        return Finetune(
            name=plan.name,
            base=self.base,
            rows=Rows(
                data=self._prepare[task.name],
                template=self._templates[task.name, 1],
                size=size,
                seed=seed,
                protocol=self.protocol,
                replayed=self._with_prompts(plan.replayed),
                mixture=plan.mixture,
                added=self._with_prompts(plan.added),
                if_fewer=plan.part.if_fewer if plan.part else "",
            ),
            recipe=plan.recipe,
            settings=plan.settings,
            precision=self.precision,
            watch=self.watch,
        )

    def _with_prompts(self, tasks: tuple[Task, ...]) -> tuple[tuple[Prepare, str], ...]:
        return tuple((self._prepare[task.name], self._templates[task.name, 1]) for task in tasks)

    @cached_property
    def models(self) -> tuple[Variant, ...]:
        """Every variant: each training, or what its recipe derives from it afterwards, and what was adopted."""
        steps: list[Variant] = []
        for finetune in self.finetunes:
            points = finetune.recipe.afterwards.points()
            steps += [Derive(finetune, point) for point in points] if points else [finetune]
        steps += self.adopted
        ids = [step.variant for step in steps]
        repeated = {variant for variant in ids if ids.count(variant) > 1}
        if repeated:
            raise UserError(f"two variants have the id {sorted(repeated)[0]!r}; give them different names")
        return tuple(steps)

    @cached_property
    def cells(self) -> tuple[tuple[Task, Cell], ...]:
        """Every cell that each model is asked, shot counts of a task in rising order."""
        return tuple(
            (task, Cell(task.name, form, shots, seed))
            for task in self.test_on
            for form in self.prompt_forms
            for seed in self.demonstration_seeds
            for shots in sorted(self.shots[task.name])
            if shots or seed == self.demonstration_seeds[0]  # without demonstrations their seed changes nothing
        )

    @cached_property
    def scores(self) -> tuple[Score, ...]:
        """The grid's leaves: the base and every variant in every cell."""
        for task, cell in self.cells:
            self._check_premise(task, cell.prompt_form)
        return tuple(
            Score(
                self._predict(variant, task, cell),
                scored_metrics(task),
                () if task.is_classification else self._label_words(variant),
                self.scoring if task.is_classification else "raw",
            )
            for variant in (None, *self.models)
            for task, cell in self.cells
        )

    @cached_property
    def asked_beside(self) -> tuple[Step, ...]:
        """What the study's questions have to be done beyond the grid."""
        return tuple(step for question in self.questions for step in question.steps(self))

    def validation_of(self, model: Variant) -> Validate | None:
        """Return what measures a part of a design on validation rows, whether that asks for it or not, if anything."""
        part = self.part_of(model)
        if part is None or part.is_control or not isinstance(model, Finetune | Derive):
            return None
        row_count = part.validation_row_count or VALIDATION_ROWS
        return Validate(model, model.data, model.trained.rows.template, self.designed, row_count)

    @cached_property
    def validations(self) -> tuple[Validate, ...]:
        """One step for every variant of a design that asks for it."""
        asked = [model for model in self.models if (part := self.part_of(model)) and part.validation_row_count]
        return tuple(step for model in asked if (step := self.validation_of(model)))

    @cached_property
    def harness_scores(self) -> tuple[ScoreHarness, ...]:
        """The base and every variant in every cell of lm-eval's tasks."""
        return tuple(
            ScoreHarness(
                AskHarness(self.base, variant, cell, self.precision, self._harness_checked_count(variant, cell))
            )
            for variant in (None, *self.models)
            for cell in self.harness
        )

    @cached_property
    def steps(self) -> tuple[Step, ...]:
        """Everything to be done, inputs first, one model after the other."""
        order = {name: index for index, name in enumerate([BASE, *(step.variant for step in self.models)])}
        scores: list[Score | ScoreHarness] = [*self.scores, *self.harness_scores]
        scores.sort(key=lambda step: order[step.predictions.model])
        return tuple(with_inputs([*scores, *self.asked_beside, *self.validations]))

    def resolved(self) -> dict[str, Any]:
        """Return the study as plain data, with every default of suite and machine written out."""
        return {
            **self.source,
            "base": self.base.name,
            "suite": self.suite.name,
            "variants": [
                {
                    "name": plan.name,
                    "train_on": [_written(plan.mixture)] if plan.mixture else [task.name for task in plan.train_on],
                    "sizes": list(plan.sizes),
                    "recipe": plan.recipe.model_dump(mode="json"),
                    "training": plan.settings.model_dump(mode="json"),
                }
                for plan in self.variants
            ]
            + [
                {
                    "name": step.name,
                    "adapter" if step.saves_adapter else "model": str(step.adopted.path),
                    **({"train_on": step.trained_on.name} if step.trained_on else {}),
                }
                for step in self.adopted
            ],
            "test_on": [task.name for task in self.test_on] + self._resolved_harness(),
            "shots": {task: list(counts) for task, counts in self.shots.items()},
            "test_limit": dict(self.test_limits),
        }

    def _resolved_harness(self) -> list[dict[str, str]]:
        tasks = {cell.task.name: cell.task.family for cell in self.harness}
        return [{"task": name, "family": family} for name, family in tasks.items()]

    def _label_words(self, variant: Variant | None) -> tuple[str, ...]:
        """Return the answers of a variant's training task; of all training tasks if it has none, and for the base."""
        if variant and variant.trained_on and variant.trained_on.answers:
            return tuple(sorted(variant.trained_on.answers))
        known = [step.trained_on for step in self.adopted if step.trained_on]
        trained = [*known, *(task for plan in self.variants for task in plan.train_on)]
        return tuple(sorted({answer for task in trained for answer in task.answers}))

    def _check_premise(self, task: Task, form: int) -> None:
        if self.scoring == "pmi" and task.is_classification and not premise(Template(self._templates[task.name, form])):
            raise UserError(
                f"task {task.name!r}: prompt {form} ends with a field; pmi scoring needs words after it, such as "
                "'Answer:'; change the prompt or the scoring"
            )

    def _predict(self, variant: Variant | None, task: Task, cell: Cell) -> Predict:
        return Predict(
            self.base,
            variant,
            self._prepare[task.name],
            self._templates[task.name, cell.prompt_form],
            cell,
            self.test_limits[task.name],
            self.protocol,
            self.precision,
            self._priors(task),
            self._checked_count(variant, cell),
        )

    def _checked_count(self, variant: Variant | None, cell: Cell) -> int:
        """Return how many items are also computed exactly; in float32, where only a fault differs, the base's alone."""
        is_checked = self.precision != "float32" or variant is None
        return CHECKED_COUNT if is_checked and cell.shots == max(self.shots[cell.tested_on]) else 0

    def _harness_checked_count(self, variant: Variant | None, asked: HarnessCell) -> int:
        """Return the same of a cell of lm-eval; only choices are compared."""
        is_checked = asked.chooses and (self.precision != "float32" or variant is None)
        most = max(other.cell.shots for other in self.harness if other.task is asked.task)
        return CHECKED_COUNT if is_checked and asked.cell.shots == most else 0

    def _priors(self, task: Task) -> tuple[ScoringKind, ...]:
        """Return what is asked beside the examples: for an answer set always, since that costs four short prompts."""
        if task.answers:
            return ("contextual", "pmi")
        return (self.scoring,) if task.options and self.scoring != "raw" else ()


def _written(mixture: Mixture) -> dict[str, Any]:
    return mixture.model_dump(mode="json", by_alias=True, exclude_defaults=True)


def scored_metrics(task: Task) -> tuple[str, ...]:
    """Return a task's metrics and, where it has an answer set and accuracy, the parts of what accuracy lacks."""
    has_losses = bool(task.answers) and "accuracy" in task.metrics
    return tuple(dict.fromkeys((*task.metrics, *(LOSSES if has_losses else ()))))
