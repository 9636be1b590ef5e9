"""What the command line lends to its commands: its streams, its environment, and one way to run a study."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.console import Console

from spillover.errors import UserError

if TYPE_CHECKING:
    from spillover.study.step import Step
    from spillover.study.store import Store
    from spillover.study.study import Study
    from spillover.training.processes import Crew

FAILED = 1
"""The exit code of a study some of whose steps failed."""


@dataclass(frozen=True)
class Terminal:
    """The edge of the program as its commands see it."""

    out: Console
    """Results."""
    messages: Console
    """Everything said on the way, on the error stream."""
    cache: Callable[[], Path]
    """Where models and archives are kept."""
    device: Callable[[str, int | None], str]
    """The device of a name (``auto`` picks one), after setting the processor threads where a number is given."""

    def notice(self, line: str) -> None:
        """Say a line as it is."""
        self.messages.print(line, markup=False, highlight=False, soft_wrap=True)

    def compute(
        self,
        study: Study,
        store: Store,
        device: Callable[[], str],
        *,
        crew: Crew | None = None,
        seconds: float | None = None,
    ) -> list[tuple[Step, str]]:
        """Do whatever is missing of a study, or what ``seconds`` leave of it; return what failed, and why."""
        from spillover.progress import progress
        from spillover.study.halving import within_budget
        from spillover.study.runner import missing_steps, run_study
        from spillover.study.work import Workshop

        if not missing_steps(study, store):
            self.notice("nothing to do: every step is in the store")
            return []
        announce = crew.announce if crew else None
        workshop = Workshop(store, device=device(), notice=self.notice, announce=announce)
        with progress(self.messages) as observer:
            chosen = study
            if seconds is not None:
                chosen = within_budget(study, store, workshop, observer, seconds=seconds, notice=self.notice)
            return run_study(chosen, store, workshop, observer).failed

    def finish(self, failed: list[tuple[Step, str]], report: Callable[[], None]) -> None:
        """Say what failed and write the report of the rest; exit 1 if steps failed."""
        if failed:
            step, reason = failed[0]
            self.messages.print(f"{len(failed)} steps failed; the first: {step.label}: {reason}", markup=False)
        try:
            report()
        except UserError:
            if not failed:
                raise
        if failed:
            raise typer.Exit(FAILED)

    def report(self, study: Study, store: Store, folder: Path, command: str) -> None:
        """Write the report of what is in the store; ``command`` is what reproduces it."""
        import yaml

        from spillover.analysis.generalization import analyse
        from spillover.report.text import text_summary
        from spillover.report.write import write_report
        from spillover.study.results import collect

        results = collect(study, store, command=command)
        analysis = analyse(results)
        try:
            write_report(results, analysis, folder)
            resolved = yaml.safe_dump(study.resolved(), sort_keys=False, allow_unicode=True)
            (folder / "study.yaml").write_text(resolved, encoding="utf-8")
        except OSError as error:
            raise UserError(
                f"cannot write the report to {folder}: {error}; name another folder with --report"
            ) from error
        self.out.print(text_summary(results, analysis))
        self.out.print(f"report: {folder / 'index.html'}", markup=False, highlight=False)
