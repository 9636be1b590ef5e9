"""How a study file becomes a Study: every name in it is resolved."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spillover.artifacts.files import own_path
from spillover.errors import UserError, unknown_name
from spillover.models.adopted import resolve_adapter, resolve_whole
from spillover.models.fingerprint import tensor_entries
from spillover.models.precision import preferred_precision
from spillover.models.resolve import resolve_model
from spillover.models.spec import ResolvedModel
from spillover.question import Question
from spillover.questions import QUESTIONS
from spillover.records import BASE, PLAIN
from spillover.settings import load_yaml, parse_settings
from spillover.sources.harness import asked_tasks, harness_tasks, is_harness_name
from spillover.sources.suites import SuiteTask
from spillover.steps.adopt import Adopt
from spillover.steps.prepare import Prepare
from spillover.steps.supervise_variant import ClassifierVariant
from spillover.study.asks import require_sensible, resolved_asks
from spillover.study.design import Part
from spillover.study.study import Study, VariantPlan
from spillover.study.study_file import (
    DEFAULT_TEST_LIMIT,
    AdoptedEntry,
    AnyEntry,
    PredictionsEntry,
    StudyFile,
    SuiteEntry,
    SupervisedEntry,
    VariantEntry,
    study_file,
)
from spillover.study.supervised import given_step, supervised_steps
from spillover.tasks.ask import NamedAsk
from spillover.tasks.mixture import Mixture, label_collisions
from spillover.tasks.prepare import demonstration_count
from spillover.tasks.relation import DataOfFamily, TrainedOn
from spillover.tasks.suite import Suite, load_suite
from spillover.tasks.task import Task
from spillover.training.optimization import TrainingSettings
from spillover.training.parameters.selection import Shapes
from spillover.training.settings import contradiction_with_stages, contradiction_with_training
from spillover.training.supervised import EncoderSettings

if TYPE_CHECKING:
    from spillover.evaluation.harness.tasks import HarnessTask


def load_study(
    path: Path,
    *,
    cache: Path,
    folder: Path | None = None,
    base: ResolvedModel | None = None,
    precision: str | None = None,
    notice: Callable[[str], None] = print,
    questions: Sequence[Question[Any]] = QUESTIONS,
) -> Study:
    """Read a study file and resolve every name in it.

    Args:
        path: The study file.
        cache: Where models and archives are kept.
        base: The base itself, for a caller that has it at hand; else what the file names is looked up.
        folder: The folder of the suite's release, before the one the file names.
        precision: In place of the file's.
        notice: Called with what is worth saying on the way, such as a licence at the first download.
        questions: What is asked beyond the matrix.

    Raises:
        UserError: If the file, or anything it names, is not as expected.
    """
    try:
        data = load_yaml(path)
        if precision and isinstance(data, dict):
            data = {**data, "precision": precision}
        return resolve_study(data, path, cache=cache, folder=folder, base=base, notice=notice, questions=questions)
    except OSError as error:  # of a name that no file can have, or a folder that may not be entered
        named = repr(str(error.filename))[:80]
        raise UserError(f"{path}: {named} cannot be looked up ({error.strerror}); correct the path") from None


def resolve_study(
    data: object,
    path: Path,
    *,
    cache: Path,
    folder: Path | None = None,
    base: ResolvedModel | None = None,
    notice: Callable[[str], None] = print,
    questions: Sequence[Question[Any]] = QUESTIONS,
) -> Study:
    """Return the study that the content of a study file means; ``path`` is the file, or where one would lie."""
    settings = parse_settings(study_file(questions), data, where=str(path))
    entries = _entries(settings, questions, where=str(path))
    suite = _suite(path, settings.suite, folder, notice)
    plans = tuple(
        plan
        for entry, part in entries
        for plan in _plans(entry, settings, suite, where=str(path), cache=cache, part=part)
    )
    for sentence in dict.fromkeys(s for plan in plans for s in label_collisions((*plan.train_on, *plan.added))):
        notice(sentence)
    test_on = _tested(settings, suite, where=str(path))
    shots, skipped = _shots(settings, suite, test_on, cache=cache)
    test_on = tuple(task for task in test_on if shots[task.name])
    for task in test_on:
        for form in settings.prompt_forms:
            suite.template(task, form, cache=cache)
    precision = preferred_precision() if settings.precision == "auto" else settings.precision
    tests = _harness_tasks(path, settings, suite, cache)
    limits = _test_limits(settings, (*test_on, *tests), suite, where=str(path))
    asks = resolved_asks(settings.asks, where=str(path))
    require_sensible(
        asks, settings.ask, suite, [*(task.name for task in test_on), *(task.name for task in tests)], where=str(path)
    )
    if settings.ask != PLAIN and tests:
        raise UserError(
            f"{path}: ask: {tests[0].name} is asked as lm-eval asks it, never as {settings.ask!r}; leave it out"
        )
    harness, left_out = asked_tasks(
        tests,
        shots=None if settings.shots == "default" else settings.shots,
        limits=limits,
        demonstration_seeds=settings.demonstration_seeds,
    )
    skipped += left_out
    if not test_on and not harness:
        raise UserError(f"{path}: no cell is left to test: {skipped[0]}")
    base = base or resolve_model(_beside(path, settings.base), cache=cache, folder=folder, notice=notice)
    if base.kind == "encoder":
        raise UserError(f"{path}: base {base.name!r} is an encoder, which writes no text; give a causal language model")
    _check_parameters(plans, base, where=str(path))
    adopted = tuple(
        _adopt(entry, base, suite, path, cache=cache, folder=folder, notice=notice)
        for entry in settings.variants
        if isinstance(entry, AdoptedEntry)
    )
    suite_tasks = tuple(
        SuiteTask(
            task=task,
            data=Prepare(suite, task, cache),
            shots=shots[task.name],
            prompt_forms=settings.prompt_forms,
            demonstration_seeds=settings.demonstration_seeds,
            limit=limits[task.name],
            protocol=settings.protocol,
            scoring=settings.scoring,
            ask=settings.ask,
            asks=asks,
        )
        for task in test_on
    )
    classifiers = tuple(
        step
        for entry in settings.variants
        for step in _classifiers(entry, settings, base, suite, path, cache=cache, folder=folder, notice=notice)
    )
    for step in classifiers:
        reasons = [step.cannot_answer(task) for task in (*suite_tasks, *harness)]
        if all(reasons):
            raise UserError(f"{path}: variant {step.name!r} can answer no tested task: {reasons[0]}")
    if harness and not any(task.may_enter_means for task in (*suite_tasks, *harness)):
        raise UserError("no tested task has a share such as accuracy as its metric; add one to test_on")
    study = Study(
        name=path.stem,
        base=base,
        suite=suite,
        variants=plans,
        cell_sources=(suite_tasks, harness),
        prompt_forms=settings.prompt_forms,
        seeds=settings.seeds,
        demonstration_seeds=settings.demonstration_seeds,
        precision=precision,
        protocol=settings.protocol,
        cache=cache,
        skipped=skipped,
        source=settings.model_dump(mode="json", by_alias=True) | {"precision": precision},
        scoring=settings.scoring,
        watch=settings.watch,
        margin=settings.margin,
        adopted=adopted,
        classifiers=classifiers,
        track=settings.track,
        questions=tuple(questions),
        ask=settings.ask,
        asks=asks,
        encoders={
            word: resolve_model(_beside(path, word), cache=cache, folder=folder, notice=notice)
            for word in dict.fromkeys(named.ask.demonstrations.encoder for named in asks.values())
            if word
        },
        asked=_asked(settings, entries, asks, where=str(path)),
        compare=tuple((entry.a, entry.b) for entry in settings.compare),
        origin=(str(path.absolute()),),
    )
    if asks or settings.compare:  # names that stand for nothing are refused here, and not after training
        assert study.asked_otherwise is not None
        assert study.compared is not None
    return study


def _asked(
    settings: StudyFile,
    entries: Sequence[tuple[VariantEntry, Part | None]],
    asks: Mapping[str, NamedAsk],
    *,
    where: str,
) -> dict[str, tuple[str, ...]]:
    """Return variant, or `BASE`, to the asks it is asked by beside the primary one."""
    adopted = [entry for entry in settings.variants if isinstance(entry, AdoptedEntry)]
    trained = {entry.name: entry.asked for entry, _ in entries}
    found = {name: own for name, own in {**trained, **{entry.name: entry.asked for entry in adopted}}.items() if own}
    of_base = tuple(asks) if settings.base_asked == "all" else settings.base_asked
    for name, own in (*found.items(), ("base_asked", of_base)):
        for ask in own:
            if ask not in (PLAIN, *asks):
                raise UserError(f"{where}: {name}: {unknown_name('ask', ask, {PLAIN, *asks})}")
    return {**found, BASE: of_base}


def _suite(path: Path, entry: SuiteEntry, folder: Path | None, notice: Callable[[str], None]) -> Suite:
    """Return the suite, reading its release from a folder or, where the study's is not there, from the public one."""
    name = _beside(path, entry.name)
    if folder or not entry.folder:
        return load_suite(name, folder=folder)
    named = path.parent / own_path(entry.folder)
    if not named.is_dir() and load_suite(name).base_url:
        notice(f"{named} is not there: the suite's pinned files will be downloaded; --from names another folder")
        return load_suite(name)
    return load_suite(name, folder=named)


def _beside(path: Path, name: str) -> str:
    """Return a path in a study file relative to that file; anything else is a name and stays."""
    name = str(own_path(name)) if name.startswith("~") else name
    beside = path.parent / name
    is_path = name.startswith((".", "/")) or (beside.exists() and ("/" in name or "." in name))
    return str(beside.absolute()) if is_path else name


def _entries(
    settings: StudyFile, questions: Sequence[Question[Any]], *, where: str
) -> list[tuple[VariantEntry, Part | None]]:
    """Return every variant to be trained: entries of the file, points of a sweep, and what questions add."""
    trained = [entry for entry in settings.variants if isinstance(entry, VariantEntry)]
    designed = [one for question in questions for one in question.expand(settings)]
    if not settings.variants and not designed:
        or_keys = "".join(f", or `{key}`" for question in questions for key in question.design_keys)
        raise UserError(f"{where}: variants is missing; add it{or_keys}")
    points = [point for entry in trained for point in entry.points(where=where)]
    return [*((point, None) for point in points), *((one.entry, one.part) for one in designed)]


def _plans(
    entry: VariantEntry, settings: StudyFile, suite: Suite, *, where: str, cache: Path, part: Part | None
) -> list[VariantPlan]:
    """Return one plan for all tasks of an entry, and one for each of its mixtures."""
    plain = tuple(mixture for mixture in entry.train_on if mixture.is_plain)
    mixed = [mixture for mixture in entry.train_on if not mixture.is_plain]
    plans = []
    for chosen in ([plain] if plain else []) + [(mixture,) for mixture in mixed]:
        plan = _plan(entry, chosen, settings, suite, where=where, cache=cache)
        if not chosen[0].is_plain:
            if fault := contradiction_with_stages(chosen[0], plan.recipe, plan.settings):
                raise UserError(f"{where}: variant {entry.name!r}: {fault}")
            plan = replace(plan, mixture=chosen[0], added=tuple(suite.task(m.task) for m in chosen[0].added))
        plans.append(replace(plan, part=part))
    return plans


def _plan(
    entry: VariantEntry, chosen: tuple[Mixture, ...], settings: StudyFile, suite: Suite, *, where: str, cache: Path
) -> VariantPlan:
    merged = {**suite.training_defaults, **settings.training, **entry.training}
    training = parse_settings(TrainingSettings, merged, where=f"{where}: variant {entry.name!r}: training")
    tasks = tuple(suite.task(mixture.target) for mixture in chosen)
    added = tuple(suite.task(member.task) for mixture in chosen for member in mixture.added)
    replayed = tuple(suite.task(name) for name in entry.recipe.constraint.replays)
    for task in (*tasks, *added, *replayed):
        suite.template(task, 1, cache=cache)
        if not task.sources.train and not task.sources.pool:
            raise UserError(
                f"{where}: variant {entry.name!r}: task {task.name!r} has no training rows; it is a test only"
            )
    if 0 in entry.sizes:
        raise UserError(f"{where}: variant {entry.name!r}: sizes holds 0; a variant needs training rows")
    if fault := contradiction_with_training(entry.recipe, training):
        raise UserError(f"{where}: variant {entry.name!r}: {fault}")
    if own := {task.name for task in (*tasks, *added)} & {task.name for task in replayed}:
        raise UserError(
            f"{where}: variant {entry.name!r}: it replays {own.pop()!r}, which it is trained on; name another"
        )
    return VariantPlan(
        name=entry.name,
        train_on=tasks,
        sizes=entry.sizes,
        recipe=entry.recipe,
        settings=training,
        replayed=replayed,
    )


def _check_parameters(plans: tuple[VariantPlan, ...], base: ResolvedModel, *, where: str) -> None:
    """Refuse a recipe that names weights which the base does not have; only headers of its files are read."""

    def shapes() -> Shapes:
        return {entry.name: entry.shape for entry in tensor_entries(base.path)}

    for plan in plans:
        if fault := plan.recipe.parameters.fault(shapes):
            raise UserError(f"{where}: variant {plan.name!r}: {fault}")


def _adopt(
    entry: AdoptedEntry,
    base: ResolvedModel,
    suite: Suite,
    path: Path,
    *,
    cache: Path,
    folder: Path | None,
    notice: Callable[[str], None],
) -> Adopt:
    if entry.adapter is not None:
        adopted = resolve_adapter(path.parent / own_path(entry.adapter), base, cache=cache, notice=notice)
    else:
        assert entry.model is not None
        adopted = resolve_whole(_beside(path, entry.model), base, cache=cache, folder=folder, notice=notice)
    return Adopt(entry.name, base, adopted, _trained_on(entry.train_on, suite))


def _classifiers(
    entry: AnyEntry,
    settings: StudyFile,
    base: ResolvedModel,
    suite: Suite,
    path: Path,
    *,
    cache: Path,
    folder: Path | None,
    notice: Callable[[str], None],
) -> Sequence[ClassifierVariant]:
    """Return the classifiers that an entry means; of one that trains or adopts a language model there is none."""
    if isinstance(entry, PredictionsEntry):
        return (given_step(entry, base, path, _trained_on(entry.train_on, suite)),)
    if not isinstance(entry, SupervisedEntry):
        return ()
    if isinstance(entry.supervised, EncoderSettings):  # a path is one from the study file on
        chosen = entry.supervised.model_copy(update={"encoder": _beside(path, entry.supervised.encoder)})
        entry = entry.model_copy(update={"supervised": chosen})
    return supervised_steps(
        entry,
        base,
        suite,
        seeds=settings.seeds,
        protocol=settings.protocol,
        cache=cache,
        encoder=lambda word: resolve_model(word, cache=cache, folder=folder, notice=notice),
    )


def _trained_on(name: str | None, suite: Suite) -> TrainedOn | None:
    """Return the task, or the data of a family, that a name means; without a name nothing is known."""
    if name is None or name in suite.tasks:
        return suite.tasks[name] if name else None
    families = {task.family: task for task in suite.tasks.values()}
    if name not in families:
        raise unknown_name(f"task or family of suite {suite.name!r}", name, {*suite.tasks, *families})
    return DataOfFamily(name, families[name].answers)


def _shots(
    settings: StudyFile, suite: Suite, tasks: tuple[Task, ...], *, cache: Path
) -> tuple[Mapping[str, tuple[int, ...]], tuple[str, ...]]:
    """Return each task's shot counts, and a sentence for every cell that lacks demonstrations."""
    shots, skipped = {}, []
    for task in tasks:
        wanted = task.shots if settings.shots == "default" else settings.shots
        held = demonstration_count(suite, task, cache=cache)
        shots[task.name] = tuple(count for count in wanted if count <= held)
        skipped += [
            f"{task.name} at {count} shots: the task has {held} demonstrations" for count in wanted if count > held
        ]
    return shots, tuple(skipped)


def _tested(settings: StudyFile, suite: Suite, *, where: str) -> tuple[Task, ...]:
    """Return the tasks of the suite that are tested on, each once."""
    tasks: dict[str, Task] = {}
    for entry in settings.test_on:
        if is_harness_name(entry.task):
            continue
        if entry.family:
            raise UserError(f"{where}: test_on: {entry.task!r} has its family in the suite; remove family here")
        found = suite.tasks.values() if entry.task == "all" else (suite.task(entry.task),)
        tasks |= {task.name: task for task in found}
    return tuple(tasks.values())


def _harness_tasks(path: Path, settings: StudyFile, suite: Suite, cache: Path) -> list[HarnessTask]:
    families = {entry.task: entry.family for entry in settings.test_on if is_harness_name(entry.task)}
    return harness_tasks(
        families,
        known_families=sorted({task.family for task in suite.tasks.values()}),
        folders=[path.parent / own_path(folder) for folder in settings.lm_eval_include],
        cache=cache,
        where=str(path),
    )


def _test_limits(
    settings: StudyFile, tasks: Sequence[Task | HarnessTask], suite: Suite, *, where: str
) -> Mapping[str, int]:
    limit = settings.test_limit
    by_family = limit if isinstance(limit, dict) else {"default": limit}
    known = {task.family for task in (*suite.tasks.values(), *tasks)} | {"default"}
    for family, count in by_family.items():
        if family not in known:
            raise UserError(f"{where}: test_limit names the family {family!r}; known: {', '.join(sorted(known))}")
        if count < 2:
            raise UserError(f"{where}: test_limit is {count} for {family!r}; an interval needs at least two rows")
    default = by_family.get("default", DEFAULT_TEST_LIMIT)
    return {task.name: by_family.get(task.family, default) for task in tasks}
