"""Who is asked: the variants that a study trains, and what stands beside them, adopted or supervised."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from spillover.artifacts.files import own_path
from spillover.errors import UserError, unknown_name
from spillover.models.adopted import resolve_adapter, resolve_whole
from spillover.models.fingerprint import tensor_entries
from spillover.models.resolve import resolve_model
from spillover.models.spec import ResolvedModel
from spillover.question import Question
from spillover.records import BASE, PLAIN
from spillover.resolving.here import Here
from spillover.settings import parse_settings
from spillover.sources.asked_task import AskedTask
from spillover.steps.adopt import Adopt
from spillover.steps.supervise_variant import ClassifierVariant
from spillover.study.design import Part
from spillover.study.study import VariantPlan
from spillover.study.study_file import (
    AdoptedEntry,
    AnyEntry,
    PredictionsEntry,
    StudyFile,
    SupervisedEntry,
    VariantEntry,
)
from spillover.study.supervised import given_step, supervised_steps
from spillover.tasks.ask import NamedAsk
from spillover.tasks.mixture import Mixture, label_collisions
from spillover.tasks.relation import DataOfFamily, TrainedOn
from spillover.tasks.suite import Suite
from spillover.training.optimization import TrainingSettings
from spillover.training.parameters.selection import Shapes
from spillover.training.settings import contradiction_with_stages, contradiction_with_training
from spillover.training.supervised import EncoderSettings

Entry = tuple[VariantEntry, Part | None]
"""A variant to be trained, and its part in a design."""


def trained_plans(entries: Sequence[Entry], settings: StudyFile, suite: Suite, here: Here) -> tuple[VariantPlan, ...]:
    """Return the plans of every variant that is trained; labels that collide in a mixture are told."""
    plans = tuple(plan for entry, part in entries for plan in _plans(entry, settings, suite, here, part))
    for sentence in dict.fromkeys(s for plan in plans for s in label_collisions((*plan.train_on, *plan.added))):
        here.notice(sentence)
    return plans


def adopted_models(settings: StudyFile, base: ResolvedModel, suite: Suite, here: Here) -> tuple[Adopt, ...]:
    """Return what was trained elsewhere."""
    return tuple(_adopt(entry, base, suite, here) for entry in settings.variants if isinstance(entry, AdoptedEntry))


def classifiers(
    settings: StudyFile, base: ResolvedModel, suite: Suite, tested: Sequence[AskedTask], here: Here
) -> tuple[ClassifierVariant, ...]:
    """Return the supervised models beside the base.

    Raises:
        UserError: If one can answer no tested task.
    """
    found = tuple(step for entry in settings.variants for step in _classifiers(entry, settings, base, suite, here))
    for step in found:
        reasons = [step.cannot_answer(task) for task in tested]
        if all(reasons):
            raise UserError(f"{here}: variant {step.name!r} can answer no tested task: {reasons[0]}")
    return found


def trained_entries(settings: StudyFile, questions: Sequence[Question[Any]], here: Here) -> list[Entry]:
    """Return every variant to be trained: entries of the file, points of a sweep, and what questions add."""
    trained = [entry for entry in settings.variants if isinstance(entry, VariantEntry)]
    designed = [one for question in questions for one in question.expand(settings)]
    if not settings.variants and not designed:
        or_keys = "".join(f", or `{key}`" for question in questions for key in question.design_keys)
        raise UserError(f"{here}: variants is missing; add it{or_keys}")
    points = [point for entry in trained for point in entry.points(where=str(here))]
    return [*((point, None) for point in points), *((one.entry, one.part) for one in designed)]


def _plans(entry: VariantEntry, settings: StudyFile, suite: Suite, here: Here, part: Part | None) -> list[VariantPlan]:
    """Return one plan for all tasks of an entry, and one for each of its mixtures."""
    plain = tuple(mixture for mixture in entry.train_on if mixture.is_plain)
    mixed = [mixture for mixture in entry.train_on if not mixture.is_plain]
    plans = []
    for chosen in ([plain] if plain else []) + [(mixture,) for mixture in mixed]:
        plan = _plan(entry, chosen, settings, suite, here)
        if not chosen[0].is_plain:
            if fault := contradiction_with_stages(chosen[0], plan.recipe, plan.settings):
                raise UserError(f"{here}: variant {entry.name!r}: {fault}")
            plan = replace(plan, mixture=chosen[0], added=tuple(suite.task(m.task) for m in chosen[0].added))
        plans.append(replace(plan, part=part))
    return plans


def _plan(
    entry: VariantEntry, chosen: tuple[Mixture, ...], settings: StudyFile, suite: Suite, here: Here
) -> VariantPlan:
    merged = {**suite.training_defaults, **settings.training, **entry.training}
    training = parse_settings(TrainingSettings, merged, where=f"{here}: variant {entry.name!r}: training")
    tasks = tuple(suite.task(mixture.target) for mixture in chosen)
    added = tuple(suite.task(member.task) for mixture in chosen for member in mixture.added)
    replayed = tuple(suite.task(name) for name in entry.recipe.constraint.replays)
    for task in (*tasks, *added, *replayed):
        suite.template(task, 1, cache=here.cache)
        if not task.sources.train and not task.sources.pool:
            raise UserError(
                f"{here}: variant {entry.name!r}: task {task.name!r} has no training rows; it is a test only"
            )
    if 0 in entry.sizes:
        raise UserError(f"{here}: variant {entry.name!r}: sizes holds 0; a variant needs training rows")
    if fault := contradiction_with_training(entry.recipe, training):
        raise UserError(f"{here}: variant {entry.name!r}: {fault}")
    if own := {task.name for task in (*tasks, *added)} & {task.name for task in replayed}:
        raise UserError(
            f"{here}: variant {entry.name!r}: it replays {own.pop()!r}, which it is trained on; name another"
        )
    return VariantPlan(
        name=entry.name,
        train_on=tasks,
        sizes=entry.sizes,
        recipe=entry.recipe,
        settings=training,
        replayed=replayed,
    )


def check_parameters(plans: Sequence[VariantPlan], base: ResolvedModel, here: Here) -> None:
    """Refuse a recipe that names weights which the base does not have; only headers of its files are read."""

    def shapes() -> Shapes:
        return {entry.name: entry.shape for entry in tensor_entries(base.path)}

    for plan in plans:
        if fault := plan.recipe.parameters.fault(shapes):
            raise UserError(f"{here}: variant {plan.name!r}: {fault}")


def _adopt(
    entry: AdoptedEntry,
    base: ResolvedModel,
    suite: Suite,
    here: Here,
) -> Adopt:
    if entry.adapter is not None:
        adopted = resolve_adapter(
            here.path.parent / own_path(entry.adapter), base, cache=here.cache, notice=here.notice
        )
    else:
        assert entry.model is not None
        adopted = resolve_whole(
            here.beside(entry.model), base, cache=here.cache, folder=here.folder, notice=here.notice
        )
    return Adopt(entry.name, base, adopted, _trained_on(entry.train_on, suite))


def _classifiers(
    entry: AnyEntry,
    settings: StudyFile,
    base: ResolvedModel,
    suite: Suite,
    here: Here,
) -> Sequence[ClassifierVariant]:
    """Return the classifiers that an entry means; of one that trains or adopts a language model there is none."""
    if isinstance(entry, PredictionsEntry):
        return (given_step(entry, base, here.path, _trained_on(entry.train_on, suite)),)
    if not isinstance(entry, SupervisedEntry):
        return ()
    if isinstance(entry.supervised, EncoderSettings):  # a path is one from the study file on
        chosen = entry.supervised.model_copy(update={"encoder": here.beside(entry.supervised.encoder)})
        entry = entry.model_copy(update={"supervised": chosen})
    return supervised_steps(
        entry,
        base,
        suite,
        seeds=settings.seeds,
        protocol=settings.protocol,
        cache=here.cache,
        encoder=lambda word: resolve_model(word, cache=here.cache, folder=here.folder, notice=here.notice),
    )


def _trained_on(name: str | None, suite: Suite) -> TrainedOn | None:
    """Return the task, or the data of a family, that a name means; without a name nothing is known."""
    if name is None or name in suite.tasks:
        return suite.tasks[name] if name else None
    families = {task.family: task for task in suite.tasks.values()}
    if name not in families:
        raise unknown_name(f"task or family of suite {suite.name!r}", name, {*suite.tasks, *families})
    return DataOfFamily(name, families[name].answers)


def asked_by(
    settings: StudyFile,
    entries: Sequence[Entry],
    asks: Mapping[str, NamedAsk],
    here: Here,
) -> dict[str, tuple[str, ...]]:
    """Return variant, or `BASE`, to the asks it is asked by beside the primary one."""
    adopted = [entry for entry in settings.variants if isinstance(entry, AdoptedEntry)]
    trained = {entry.name: entry.asked for entry, _ in entries}
    found = {name: own for name, own in {**trained, **{entry.name: entry.asked for entry in adopted}}.items() if own}
    of_base = tuple(asks) if settings.base_asked == "all" else settings.base_asked
    for name, own in (*found.items(), ("base_asked", of_base)):
        for ask in own:
            if ask not in (PLAIN, *asks):
                raise UserError(f"{here}: {name}: {unknown_name('ask', ask, {PLAIN, *asks})}")
    return {**found, BASE: of_base}
