"""A study as frozen data, and the grid of steps it stands for."""

from __future__ import annotations

import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any

from spillover.errors import UserError
from spillover.evaluation.choice import ScoringKind
from spillover.models.precision import Precision
from spillover.models.spec import ResolvedModel
from spillover.records import BASE, PLAIN, AskedBy
from spillover.sources.asked_task import AskedModel, AskedTask
from spillover.sources.suites import SuiteTask
from spillover.steps.adopt import Adopt
from spillover.steps.cell_steps import ScoreCell
from spillover.steps.derive import Derive
from spillover.steps.finetune import Finetune
from spillover.steps.prepare import Prepare
from spillover.steps.rows import Rows
from spillover.steps.step import Step, with_inputs
from spillover.steps.supervise_variant import ClassifierVariant
from spillover.steps.validate import VALIDATION_ROWS, Validate
from spillover.steps.variant import Variant
from spillover.store.store import Store
from spillover.study.asks import named
from spillover.study.design import Designed, Part
from spillover.study.study_file import StudyFile
from spillover.study.supervised import written_classifiers
from spillover.tasks.ask import NamedAsk
from spillover.tasks.mixture import Mixture
from spillover.tasks.prepare import Protocol
from spillover.tasks.suite import Suite
from spillover.tasks.task import Task
from spillover.training.optimization import TrainingSettings
from spillover.training.settings import Recipe


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

    def collect(self, study: Study, store: Store) -> object | None:
        """Return what it reads of a finished study beyond its scores."""


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
    cell_sources: tuple[tuple[AskedTask, ...], ...]
    """The tested tasks of each source of cells: of the suite, of lm-eval."""
    prompt_forms: tuple[int, ...]
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
    adopted: tuple[Adopt, ...] = ()
    """Variants that were trained elsewhere."""
    classifiers: tuple[ClassifierVariant, ...] = ()
    """Variants that stand beside the base: small supervised models, and predictions of the user's own."""
    track: str | None = None
    """The tracker that trainings are sent to; part of no key."""
    questions: tuple[Asks, ...] = ()
    """What is asked beyond the matrix."""
    ask: str = PLAIN
    """The primary ask, whose cells are the grid."""
    asks: Mapping[str, NamedAsk] = field(default_factory=dict)
    """Every other way of asking but the plain one, by name."""
    asked: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Name of a variant, or `BASE`, to the asks it is asked by beside the primary one."""
    compare: tuple[tuple[str, str], ...] = ()
    """Pairs of ``MODEL`` or ``MODEL/ASK``; part of no key."""
    origin: tuple[str, ...] = ()
    """What tells it from other studies of its name: the whole path of its file; part of no key."""
    left_out: tuple[VariantPlan, ...] = ()
    """What a budget dropped: what it would train on is no validation row of the others either."""

    @property
    def test_on(self) -> tuple[AskedTask, ...]:
        """Every tested task."""
        return tuple(task for source in self.cell_sources for task in source)

    @property
    def suite_tasks(self) -> tuple[SuiteTask, ...]:
        """The tested tasks that are of the suite: of them alone rows are at hand before anything is asked."""
        return tuple(task for task in self.test_on if isinstance(task, SuiteTask))

    @cached_property
    def _trained(self) -> Mapping[str, tuple[Prepare, str]]:
        """Task to its rows and its first prompt form, which variants train on."""
        tested = {task.name: task.data for task in self.suite_tasks}
        plans = (*self.variants, *self.left_out)
        tasks = {task.name: task for plan in plans for task in (*plan.train_on, *plan.replayed, *plan.added)}
        return {
            name: (
                tested.get(name) or Prepare(self.suite, task, self.cache),
                self.suite.template(task, 1, cache=self.cache).text,
            )
            for name, task in tasks.items()
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
                data=self._trained[task.name][0],
                template=self._trained[task.name][1],
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
        return tuple(self._trained[task.name] for task in tasks)

    @cached_property
    def models(self) -> tuple[Variant, ...]:
        """Every variant: each training, or what its recipe derives from it afterwards, and what was not trained so."""
        steps: list[Variant] = []
        for finetune in self.finetunes:
            points = finetune.recipe.afterwards.points()
            steps += [Derive(finetune, point) for point in points] if points else [finetune]
        steps += [*self.adopted, *self.classifiers]
        ids = [step.variant for step in steps]
        repeated = {variant for variant in ids if ids.count(variant) > 1}
        if repeated:
            raise UserError(f"two variants have the id {sorted(repeated)[0]!r}; give them different names")
        return tuple(steps)

    @cached_property
    def scores(self) -> tuple[ScoreCell, ...]:
        """The grid's leaves: the base and every variant in every cell, source by source."""
        return tuple(
            step
            for source in self.cell_sources
            for model in self._asked_models
            for task in source
            if model.variant is None or not model.variant.cannot_answer(task)
            for step in task.scores(model)
        )

    @cached_property
    def asked_otherwise(self) -> tuple[ScoreCell, ...]:
        """The leaves beside the grid: models in cells that are asked in other ways; nothing in the grid reads them."""
        return tuple(
            step for model in self._asked_models for task in self.test_on for step in task.asked_otherwise(model)
        )

    @cached_property
    def _asked_models(self) -> tuple[AskedModel, ...]:
        classifiers = {name: self._classifier(name, ask) for ask, name in self._receipts}
        return tuple(
            AskedModel(
                self.base,
                variant,
                self.precision,
                self._label_words(variant),
                self._asks_of(variant.name if variant else BASE),
                classifiers,
            )
            for variant in (None, *self.models)
        )

    @property
    def _receipts(self) -> list[tuple[str, str]]:
        """The asks that show verdicts, and whose."""
        return [(name, named.ask.receipts.of) for name, named in self.asks.items() if named.ask.receipts]

    def _classifier(self, name: str, ask: str) -> Variant:
        try:
            found = named(
                name, {model: ids for model, ids in self._models_by_name.items() if model != BASE}, (), PLAIN
            ).variant
        except UserError as error:
            raise UserError(f"ask {ask!r}: receipts: {error}") from None
        return next(model for model in self.models if model.variant == found)

    @cached_property
    def _models_by_name(self) -> Mapping[str, Sequence[str]]:
        """The base's name, every variant's id, and every name of variants, to the ids it stands for."""
        found: dict[str, list[str]] = {BASE: [BASE]}
        for model in self.models:
            found.setdefault(model.name, []).append(model.variant)
        return found | {model.variant: [model.variant] for model in self.models}

    def _asks_of(self, name: str) -> tuple[str, ...]:
        """Return what a model is asked by beside the primary ask; the plain one with any other, to compare it with."""
        own = dict.fromkeys(self.asked.get(name, ()))
        if name == BASE:  # what variants are asked the base is asked, to compare them with
            own |= dict.fromkeys(ask for asks in self.asked.values() for ask in asks)
        if own or self.ask != PLAIN:
            own = {PLAIN: None, **own}
        return tuple(ask for ask in own if ask != self.ask)

    @cached_property
    def compared(self) -> tuple[tuple[AskedBy, AskedBy], ...]:
        """What is compared by name.

        Raises:
            UserError: If a name stands for nothing, or for several models, or a model is not asked so.
        """
        return tuple((self._named(a), self._named(b)) for a, b in self.compare)

    def _named(self, text: str) -> AskedBy:
        try:
            found = named(text, self._models_by_name, (PLAIN, *self.asks), self.ask)
        except UserError as error:
            raise UserError(f"compare: {error}") from None
        model = next((model for model in self.models if model.variant == found.variant), None)
        name = model.name if model else BASE
        if found.ask not in (self.ask, *self._asks_of(name)):
            key = "base_asked" if model is None else "the variant's `asked`"
            raise UserError(f"compare: {text!r}: {name} is not asked by {found.ask!r}; add that to {key}")
        return found

    @cached_property
    def unanswered(self) -> Mapping[tuple[str, str], str]:
        """(variant id, tested task) to why it is not asked: a classifier gives nothing but its labels."""
        return {
            (model.variant, task.name): reason
            for model in self.models
            for task in self.test_on
            if (reason := model.cannot_answer(task))
        }

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
    def steps(self) -> tuple[Step, ...]:
        """Everything to be done, inputs first, one model after the other."""
        order = {name: index for index, name in enumerate([BASE, *(step.variant for step in self.models)])}
        scores = sorted((*self.scores, *self.asked_otherwise), key=lambda step: order[step.predictions.model])
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
            ]
            + written_classifiers(self.classifiers),
            "test_on": [task.entry for task in self.test_on],
            "shots": {task.name: list(task.shots) for task in self.suite_tasks},
            "test_limit": {task.name: task.limit for task in self.test_on},
        }

    def _label_words(self, variant: Variant | None) -> tuple[str, ...]:
        """Return the answers of a variant's training task; of all training tasks if it has none, and for the base."""
        if variant and variant.trained_on and variant.trained_on.answers:
            return tuple(sorted(variant.trained_on.answers))
        known = [step.trained_on for step in (*self.adopted, *self.classifiers) if step.trained_on]
        trained = [*known, *(task for plan in self.variants for task in plan.train_on)]
        return tuple(sorted({answer for task in trained for answer in task.answers}))


def _written(mixture: Mixture) -> dict[str, Any]:
    return mixture.model_dump(mode="json", by_alias=True, exclude_defaults=True)
