"""The edge of the program as its commands share it: two streams, the environment, and one way to run and report."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.console import Console

from spillover.artifacts.cache import whole_file
from spillover.errors import UserError, without_credentials
from spillover.report.formats import USUAL, Format
from spillover.report.printing import SafeConsole
from spillover.tasks.collection import no_collection

if TYPE_CHECKING:
    from rich.text import Text

    from spillover.analysis.analysis import Analysis
    from spillover.completion import RunOptions
    from spillover.records import StudyResults
    from spillover.steps.step import Step
    from spillover.store.store import Store
    from spillover.study.study import Study

DONE, FAILED, USER_MISTAKE, INTERRUPTED = 0, 1, 2, 130
"""Exit codes."""

Failed = Sequence[tuple["Step", str]]
"""Steps that failed, and why."""


@dataclass(frozen=True)
class Terminal:
    """What commands print to, and what they take from the environment."""

    out: Console = field(default_factory=SafeConsole)
    """Results."""
    messages: Console = field(default_factory=lambda: SafeConsole(stderr=True))
    """Everything said on the way, on the error stream."""

    def notice(self, line: str) -> None:
        """Say a line as it is."""
        self.messages.print(line, markup=False, highlight=False, emoji=False, soft_wrap=True)

    def say(self, line: str) -> None:
        """Print a line of the result as it is, folded at the width."""
        self.out.print(line, markup=False, highlight=False, emoji=False)

    def table(self, header: Sequence[str], rows: Iterable[Sequence[str | Text]]) -> None:
        """Print rows of plain text as a table that fits the width."""
        from spillover.report.terminal_table import table

        self.out.print(table(header, rows, width=self.out.width))

    def json(self, value: object) -> None:
        """Print plain data for programs; other than ASCII is escaped, so that any stream can take it."""
        typer.echo(without_credentials(json.dumps(value, indent=2, default=str)))

    def cache(self) -> Path:
        """Return where models and archives are kept."""
        from spillover.api import user_cache

        return user_cache()

    def device(self, name: str, threads: int | None) -> str:
        """Return the device of a name (``auto`` picks one); processor threads are set if a number is given."""
        from spillover.api import chosen_device

        return chosen_device(name, threads)

    def study(
        self, path: Path, folder: Path | None, precision: str | None = None, trusted: Sequence[Path] | None = None
    ) -> Study:
        """Read a study file; ``precision`` takes the place of its own, the code of tasks in ``trusted`` may run."""
        from spillover.config import load_study

        if path.suffix not in (".yaml", ".yml") and not path.exists():
            raise UserError(f"{path}: no study file; the study comes first, then what of it: COMMAND STUDY.yaml ...")
        if trusted:
            from spillover.sources.task_code import trust

            trust(trusted, cache=self.cache())
        return load_study(path, cache=self.cache(), folder=folder, precision=precision, notice=self.notice)

    def compute(self, study: Study, store: Store, options: RunOptions) -> Failed:
        """Do whatever is missing of a study, or what its time leaves of it; return what failed, and why."""
        from spillover.completion import complete
        from spillover.progress import progress

        return complete(study, store, options, observing=progress(self.messages), notice=self.notice)

    def finish(self, failed: Failed, report: Callable[[], None]) -> None:
        """Say what failed and report what did not; exit 1 if steps failed."""
        if failed:
            step, reason = failed[0]
            self.notice(f"{len(failed)} steps failed; the first: {step.label}: {reason}")
        try:
            report()
        except UserError:
            if not failed:
                raise
        if failed:
            raise typer.Exit(FAILED)

    def place(self, study: Study | StudyResults, given: Path | None, *, called: str = "") -> Path:
        """Return the folder of a study's report, before anything is computed for one that would be refused."""
        from spillover.report.place import report_folder

        with _writable(given):
            return report_folder(given, study.name, study.origin, called=called)

    def report(
        self,
        study: Study,
        store: Store,
        folder: Path,
        command: str,
        formats: Sequence[Format] = USUAL,
        *,
        as_json: bool = False,
    ) -> None:
        """Write the report of what is in the store; ``command`` is what reproduces it."""
        import yaml

        from spillover.questions import answered
        from spillover.study.results import collect

        with no_collection():
            results = collect(study, store, command=command)
            resolved = yaml.safe_dump(study.resolved(), sort_keys=False, allow_unicode=True)
            self.write(results, answered(results), folder, formats, as_json=as_json)
        with _writable(folder), whole_file(folder / "study.yaml") as temporary:  # a link there is replaced
            temporary.write_text(resolved, encoding="utf-8")

    def write(
        self,
        results: StudyResults,
        analysis: Analysis,
        folder: Path,
        formats: Sequence[Format] = USUAL,
        *,
        as_json: bool = False,
    ) -> None:
        """Write a report's files and print its verdicts and where it is, or its summary as JSON."""
        from spillover.report.text import LIGHT_WIDTH, text_summary
        from spillover.report.write import summary, write_report

        with _writable(folder):
            paths = write_report(results, analysis, folder, formats=formats)
        if as_json:
            self.json(summary(results, analysis))
            for path in main_files(paths):
                self.notice(f"report: {path}")
            return
        self.out.print(hanging(text_summary(results, analysis), LIGHT_WIDTH, self.out))
        for path in main_files(paths):
            self.out.print(f"report: {path}", markup=False, highlight=False, emoji=False, soft_wrap=True)


def main_files(paths: Sequence[Path]) -> Sequence[Path]:
    """Return what of a report's files is looked at first: its page, or all of them where there is none."""
    return [path for path in paths if path.name == Format.HTML.file_name] or paths


def hanging(text: Text, indent: int, console: Console) -> Text:
    """Return a text folded at the console's width, what follows a line's fold set in as far as its words begin."""
    lines = []
    for line in text.split("\n"):
        start = indent if line.plain.startswith(" ") else 0
        folded = line[start:].wrap(console, max(20, console.width - start))
        for number, part in enumerate(folded):
            part.rstrip()
            lines.append((line[:start] if number == 0 else text.blank_copy(" " * start)) + part)
    return text.blank_copy("\n").join(lines)


@contextmanager
def _writable(folder: Path | None) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        where = folder or "report"
        raise UserError(f"cannot write the report to {where}: {error}; name another folder with --report") from error


terminal = Terminal()
