"""What a study file says of classifiers becomes steps, and steps what a study file says."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import product
from pathlib import Path
from typing import Any

from spillover.artifacts.files import LARGEST_LOG_BYTES, own_path, read_whole
from spillover.errors import UserError
from spillover.models.spec import ResolvedModel
from spillover.steps.prepare import Prepare
from spillover.steps.supervise import Supervise
from spillover.steps.supervise_given import TakeGiven, read_given
from spillover.steps.supervise_variant import ClassifierVariant
from spillover.study.study_file import PredictionsEntry, SupervisedEntry
from spillover.tasks.prepare import Protocol
from spillover.tasks.relation import TrainedOn
from spillover.tasks.suite import Suite
from spillover.training.supervised import EncoderSettings


def supervised_steps(
    entry: SupervisedEntry,
    base: ResolvedModel,
    suite: Suite,
    *,
    seeds: tuple[int, ...],
    protocol: Protocol,
    cache: Path,
    encoder: Callable[[str], ResolvedModel],
) -> tuple[Supervise, ...]:
    """Return one training a task, size and seed.

    Args:
        entry: Of the study file.
        base: Beside which the classifiers stand.
        suite: Of the tasks.
        seeds: Of the trainings.
        protocol: Of the study.
        cache: Where archives are kept.
        encoder: Finds what a word means.

    Raises:
        UserError: A task has no answer set or no training rows, or the encoder is not as expected.
    """
    where, settings = f"variant {entry.name!r}", entry.supervised
    tasks = [suite.task(name) for name in entry.train_on]
    for task in tasks:
        if not task.label_set:
            raise UserError(f"{where}: task {task.name!r} has no answer set; a classifier is trained on labels")
        if not task.sources.train and not task.sources.pool:
            raise UserError(f"{where}: task {task.name!r} has no training rows; it is a test only")
    start = encoder(settings.encoder) if isinstance(settings, EncoderSettings) else None
    return tuple(
        Supervise(
            name=entry.name,
            base=base,
            data=Prepare(suite, task, cache),
            size=size,
            seed=seed,
            protocol=protocol,
            settings=settings,
            encoder=start,
        )
        for task, size, seed in product(tasks, entry.sizes, seeds)
    )


def given_step(entry: PredictionsEntry, base: ResolvedModel, path: Path, trained_on: TrainedOn | None) -> TakeGiven:
    """Return the step that takes in a file of predictions; ``path`` is the study file's."""
    file = path.parent / own_path(entry.predictions)
    try:
        content = read_whole(file, at_most=LARGEST_LOG_BYTES)
    except OSError as error:
        raise UserError(f"{file}: cannot be read ({error.strerror}); give a CSV of predictions") from None
    given = read_given(file.absolute(), content)
    return TakeGiven(
        name=entry.name,
        base=base,
        path=given.path,
        digest=given.digest,
        labels=given.labels,
        tasks=given.tasks,
        trained_on=trained_on,
    )


def written_classifiers(steps: Iterable[ClassifierVariant]) -> list[dict[str, Any]]:
    """Return the entries of a study file that mean the steps."""
    entries: dict[str, dict[str, Any]] = {}
    for step in steps:
        if isinstance(step, Supervise):
            supervised = {"supervised": step.settings.model_dump(mode="json")}
            entry = entries.setdefault(step.name, {"name": step.name, "train_on": [], "sizes": [], **supervised})
            for key, value in (("train_on", step.data.task.name), ("sizes", step.size)):
                entry[key] = list(dict.fromkeys([*entry[key], value]))
        elif isinstance(step, TakeGiven):
            trained_on = {"train_on": step.trained_on.name} if step.trained_on else {}
            entries[step.name] = {"name": step.name, "predictions": str(step.path), **trained_on}
    return list(entries.values())
