"""How a study file becomes a Study: every name in it is resolved."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from spillover.errors import UserError
from spillover.models.precision import preferred_precision
from spillover.models.spec import ResolvedModel
from spillover.question import Question
from spillover.questions import QUESTIONS
from spillover.resolving.cells import tested
from spillover.resolving.here import Here
from spillover.resolving.models import (
    adopted_models,
    asked_by,
    check_parameters,
    classifiers,
    trained_entries,
    trained_plans,
)
from spillover.settings import load_yaml, parse_settings
from spillover.study.study import Study
from spillover.study.study_file import study_file


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
    here = Here(path, cache, folder, notice)
    settings = parse_settings(study_file(questions), data, where=str(here))
    entries = trained_entries(settings, questions, here)
    suite = here.suite(settings.suite)
    plans = trained_plans(entries, settings, suite, here)
    cells = tested(settings, suite, here)
    base = base or here.model(settings.base)
    if base.kind == "encoder":
        raise UserError(f"{here}: base {base.name!r} is an encoder, which writes no text; give a causal language model")
    check_parameters(plans, base, here)
    encoders = dict.fromkeys(named.ask.demonstrations.encoder for named in cells.asks.values())
    precision = preferred_precision() if settings.precision == "auto" else settings.precision
    study = Study(
        name=path.stem,
        base=base,
        suite=suite,
        variants=plans,
        cell_sources=(cells.of_suite, cells.of_harness),
        prompt_forms=settings.prompt_forms,
        seeds=settings.seeds,
        demonstration_seeds=settings.demonstration_seeds,
        precision=precision,
        protocol=settings.protocol,
        cache=cache,
        skipped=cells.skipped,
        source=settings.model_dump(mode="json", by_alias=True) | {"precision": precision},
        scoring=settings.scoring,
        watch=settings.watch,
        margin=settings.margin,
        adopted=adopted_models(settings, base, suite, here),
        classifiers=classifiers(settings, base, suite, cells.all, here),
        track=settings.track,
        questions=tuple(questions),
        ask=settings.ask,
        asks=cells.asks,
        encoders={word: here.model(word) for word in encoders if word},
        asked=asked_by(settings, entries, cells.asks, here),
        compare=tuple((entry.a, entry.b) for entry in settings.compare),
        origin=(str(path.absolute()),),
    )
    if cells.asks or settings.compare:  # names that stand for nothing are refused here, and not after training
        assert study.asked_otherwise is not None
        assert study.compared is not None
    return study
