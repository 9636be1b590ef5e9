"""Studies from Python: load one, run what is missing, and have its results as tables."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spillover.artifacts.files import own_path
from spillover.errors import UserError
from spillover.models.memory import GPU_SHARE
from spillover.report.formats import USUAL, Format

if TYPE_CHECKING:
    import pandas

    from spillover.analysis import comparison
    from spillover.analysis.analysis import Analysis
    from spillover.analysis.verdict import Verdict
    from spillover.records import StudyResults
    from spillover.study.study import Study

__all__ = ["Comparison", "Results", "Verdicts", "load_results", "load_study", "run"]

MOST_THREADS = 1024
HOW = "spillover.run(spillover.load_study(...))"


def load_study(
    path: str | Path,
    *,
    release: str | Path | None = None,
    cache: str | Path | None = None,
    trust_task_code: Sequence[str | Path] = (),
) -> Study:
    """Read a study file and resolve every name in it.

    Args:
        path: The study file.
        release: A folder with the suite's release or with downloaded archives; default: what the study names.
        cache: Where models and archives are kept; default: ``SPILLOVER_CACHE``, or the user's own cache.
        trust_task_code: Folders of the study's ``lm_eval_include`` whose code may run; remembered in the cache.

    Raises:
        UserError: If the file, or anything it names, is not as expected.
    """
    from spillover import config

    kept = own_path(cache) if cache else user_cache()
    if trust_task_code:
        from spillover.sources.task_code import trust

        trust(map(own_path, trust_task_code), cache=kept)
    return config.load_study(own_path(path), cache=kept, folder=own_path(release) if release else None)


def run(
    study: Study,
    *,
    store: str | Path = "store",
    device: str = "auto",
    threads: int | None = None,
    gpu_share: float = GPU_SHARE,
    budget: str | None = None,
    lint: bool = True,
    track: str | None = None,
) -> Results:
    """Do whatever is missing of a study as ``spillover run`` does, showing progress, and return its results.

    Args:
        study: From `load_study`.
        store: Where finished steps are kept; the command line's default, so that the two go on where either stopped.
        device: ``auto``, ``cpu``, ``cuda``, ``mps`` or ``xpu``.
        threads: Processor threads; default: all.
        gpu_share: Of a GPU's free memory, what asking may take.
        budget: Time such as ``2h``; of a design, the arms that validate worse are dropped.
        lint: Refuse the errors that ``spillover lint`` finds.
        track: Follow trainings in ``mlflow``, ``tensorboard``, ``trackio`` or ``wandb``; default: what the study names.

    Raises:
        UserError: If the data, the prompts, lint, the store or the disk cannot serve the study, or if nothing could be
            finished.
    """
    from spillover.completion import RunOptions, complete
    from spillover.progress import progress
    from spillover.report.printing import SafeConsole
    from spillover.store.store import Store
    from spillover.study.halving import budget_seconds

    if not 0 < gpu_share <= 1:
        raise UserError(f"gpu_share is {gpu_share}; expected a part of a GPU's free memory, above 0 up to 1")
    console = SafeConsole(stderr=True)
    failed = complete(
        study,
        Store(own_path(store)),
        RunOptions(
            device=lambda: chosen_device(device, threads),
            gpu_share=gpu_share,
            seconds=budget_seconds(budget) if budget else None,
            checked=f"{study.name}.yaml" if lint else None,
            track=track,
        ),
        observing=progress(console),
        notice=lambda line: console.print(line, markup=False, highlight=False, emoji=False, soft_wrap=True),
    )
    return dataclasses.replace(
        load_results(study, store=store), failed=tuple(f"{step.label}: {reason}" for step, reason in failed)
    )


def load_results(study: Study, *, store: str | Path = "store") -> Results:
    """Return the results that are in a store, without computing anything.

    Raises:
        UserError: If no variant is finished.
    """
    from spillover.store.store import Store
    from spillover.study.results import collect

    return Results(collect(study, Store(own_path(store)), command=HOW))


def chosen_device(name: str, threads: int | None) -> str:
    """Return the device of a name (``auto`` picks one); processor threads are set if a number is given.

    Raises:
        UserError: If this machine has no such device, or no computer has so many threads.
    """
    import torch

    from spillover.models.load import preferred_device, require_device

    if threads is not None:
        if not 1 <= threads <= MOST_THREADS:
            raise UserError(f"threads is {threads}; expected 1 to {MOST_THREADS}")
        torch.set_num_threads(threads)
    if name == "auto":
        return preferred_device()
    require_device(name)
    return name


def user_cache() -> Path:
    """Return where models and archives are kept: ``SPILLOVER_CACHE``, or the user's own cache folder."""
    from spillover.artifacts.cache import default_cache

    named = os.environ.get("SPILLOVER_CACHE")
    return own_path(named) if named else default_cache()


@dataclasses.dataclass(frozen=True, repr=False)
class Results:
    """What a study found; its tables are pandas DataFrames."""

    records: StudyResults
    """Scores, cards and provenance as plain records."""
    failed: tuple[str, ...] = ()
    """Steps that failed in this run, and why; their variants are left out."""

    @cached_property
    def analysis(self) -> Analysis:
        """Every statistic of the report, as records."""
        from spillover.questions import answered

        return answered(self.records)

    @property
    def variants(self) -> tuple[str, ...]:
        """Ids of the finished variants, to be compared with each other and with ``base``."""
        return tuple(card.id for card in self.records.variants)

    @property
    def measurements(self) -> pandas.DataFrame:
        """One row per model, cell and metric, with its difference to the base; the columns of ``measurements.csv``."""
        from spillover.records import Measurement

        return _frame(self.analysis.measurements, Measurement)

    @property
    def relations(self) -> pandas.DataFrame:
        """One row per variant, relation and kind of metric: the mean difference to the base, with its interval."""
        from spillover.analysis.relations import RelationSummary

        return _frame(self.analysis.relations, RelationSummary)

    @property
    def verdicts(self) -> Verdicts:
        """One verdict per variant, or per recipe where it has several training seeds."""
        return Verdicts(self.analysis.verdicts)

    def compare(self, first: str, second: str) -> Comparison:
        """Compare two variants by id, or two recipes by name, on the same items: second less first.

        Raises:
            UserError: On an unknown name, or when nothing of the two can be paired.
        """
        from spillover.analysis.comparison import compare

        return Comparison(compare(self.records, first, second))

    def report(self, folder: str | Path | None = None, *, formats: Sequence[str] = USUAL) -> Path:
        """Write the report and return the path of its page, or of its first file where no page is asked for.

        Args:
            folder: Where to; default: one of the study's own in ``report``.
            formats: Of ``html``, ``md``, ``latex``, ``csv``, ``parquet`` and ``json``.
        """
        from spillover.errors import unknown_name
        from spillover.report.place import report_folder
        from spillover.report.write import write_report

        for name in formats:
            if name not in list(Format):
                raise unknown_name("format", name, map(str, Format))
        kinds = sorted({Format(name) for name in formats}, key=list(Format).index)
        place = report_folder(own_path(folder) if folder else None, self.records.name, self.records.origin)
        return write_report(self.records, self.analysis, place, formats=kinds)[0]

    def __repr__(self) -> str:
        from spillover.report.text import printable, text_summary

        failed = (f"  failed: {printable(sentence)}" for sentence in self.failed)
        return "\n".join([text_summary(self.records, self.analysis).plain, *failed])

    def _repr_html_(self) -> str:
        failed = "".join(f"<p>failed: {_safe(sentence)}</p>" for sentence in self.failed)
        return f"<p><b>{_safe(self.records.name)}</b>: differences to the base</p>{self.verdicts._repr_html_()}{failed}"


class Verdicts(tuple["Verdict", ...]):
    """Verdicts, shown as a list in a notebook."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        from spillover.report.text import LIGHT_SYMBOLS, LONGEST_SENTENCE

        rows = [(f"{LIGHT_SYMBOLS[verdict.light]} {verdict.light}", verdict.sentence) for verdict in self]
        return _html(("", "verdict"), rows, limit=LONGEST_SENTENCE)


@dataclasses.dataclass(frozen=True, repr=False)
class Comparison:
    """In which cells two variants or recipes differ."""

    records: comparison.Comparison
    """As plain records."""

    @property
    def cells(self) -> pandas.DataFrame:
        """One row per pair of variants and cell."""
        from spillover.analysis.comparison import CellDifference

        rows = [{**_flat(row), **_flat(row.cell)} for row in self.records.cells]
        names = [field.name for field in dataclasses.fields(CellDifference) if field.name != "cell"]
        return _pandas().DataFrame(rows, columns=[*names[:2], *_flat(self.records.cells[0].cell), *names[2:]])

    @property
    def relations(self) -> pandas.DataFrame:
        """One row per relation and kind of metric: the mean over its pairs and cells."""
        from spillover.analysis.comparison import RelationDifference

        return _frame(self.records.relations, RelationDifference)

    def __repr__(self) -> str:
        from spillover.analysis.wording import interval_words, signed

        found = self.records
        means = [
            f"  {row.relation} {row.kind} {signed(row.difference)} {interval_words(row.low, row.high)} "
            f"over {row.cell_count} cells"
            for row in found.relations
        ]
        return "\n".join([f"{found.second} less {found.first}, {found.level:.0%} intervals", *means])

    def _repr_html_(self) -> str:
        from spillover.analysis.wording import interval_words, plain, signed

        found = self.records
        means = [
            (
                f"{row.relation}, {row.kind}",
                str(row.cell_count),
                signed(row.difference),
                interval_words(row.low, row.high),
            )
            for row in found.relations
        ]
        rows = [
            (
                *(row.first, row.second, row.cell.tested_on, str(row.cell.shots), row.metric),
                *(plain(row.first_value), plain(row.second_value), signed(row.difference)),
                interval_words(row.low, row.high),
            )
            for row in found.cells
        ]
        title = f"<p><b>{_safe(found.second)}</b> less <b>{_safe(found.first)}</b>, {found.level:.0%} intervals</p>"
        header = ("first", "second", "tested on", "shots", "metric", "first", "second", "difference", "interval")
        return title + _html(("mean over", "cells", "difference", "interval"), means) + _html(header, rows)


def _pandas() -> Any:
    try:
        import pandas
    except ImportError:
        raise UserError(
            "tables need pandas, which is not installed; pip install 'spillover[notebook]', or use the records"
        ) from None
    return pandas


def _frame(rows: Iterable[Any], kind: type) -> pandas.DataFrame:
    names = [field.name for field in dataclasses.fields(kind)]
    return _pandas().DataFrame([_flat(row) for row in rows], columns=names)


def _flat(row: Any) -> Mapping[str, object]:
    """Return a record's fields; words of a closed set as plain text, which tables sort and compare as such."""
    found = {field.name: getattr(row, field.name) for field in dataclasses.fields(row)}
    return {name: str(value) if isinstance(value, str) else value for name, value in found.items()}


def _html(header: Sequence[str], rows: Iterable[Sequence[str]], *, limit: int | None = None) -> str:
    """Return a table in which every text is shown as it is, cut at ``limit`` characters or where names are."""
    head = "".join(f"<th>{_safe(name)}</th>" for name in header)
    body = "".join(f"<tr>{''.join(f'<td>{_safe(cell, limit)}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _safe(text: str, limit: int | None = None) -> str:
    from spillover.report.text import LONGEST_TEXT, printable

    return escape(printable(text, limit or LONGEST_TEXT))
