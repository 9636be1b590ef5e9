"""What an assistant can ask of studies: each public method is a tool, its docstring what the assistant is told."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

from spillover.commands.terminal import terminal
from spillover.errors import SpilloverError, UserError, without_credentials

if TYPE_CHECKING:
    from spillover.study.study import Study

Plain = dict[str, Any]

PLACES = ("*", "*/*", "*/*/*")
"""Where studies and reports are looked for: not in the depths of a store."""

LOG_TAIL = 4_000
"""Characters of a run's log that are shown."""


class Desk:
    """Reads studies and reports of one folder, one question at a time, and computes nothing.

    Args:
        folder: Where study files and reports lie; nothing outside it is opened by name.
        store: Where finished steps are kept.
    """

    def __init__(self, folder: Path, store: Path) -> None:
        self.folder = folder.resolve()
        self.store = store.absolute()
        self.lock = Lock()
        """The SDK calls tools from several threads; what they read with is made for one."""

    def list_studies(self) -> Plain:
        """List the study files and the finished reports that can be asked about, by the names other tools take."""
        with self.lock:
            return _plain({"studies": list(self._studies()), "reports": list(self._reports())})

    def read_verdicts(self, source: str, variant: str | None = None) -> Plain:
        """Read what fine-tuning gained and lost: a light and a sentence for every variant, with its evidence.

        Args:
            source: A study file, or the summary.json of a report, as list_studies names them.
            variant: A variant's id or name; then the differences with intervals that its verdict rests on are there.
        """
        from spillover.commands.card import found_in
        from spillover.errors import unknown_name

        with self.lock:
            found, _ = found_in(self.path(source), self.store)
            verdicts = [item for item in found["verdicts"] if variant is None or _is_of(item, variant)]
            if not verdicts:
                known = [name for item in found["verdicts"] for name in item["variants"]]
                raise unknown_name("variant", variant or "", known)
            facts = {key: found.get(key) for key in ("study", "base", "rule", "interval", "margin", "skipped")}
            if variant is not None:
                names = {item["variant"] for item in verdicts}
                facts["differences"] = [item for item in found.get("judged", ()) if item["name"] in names]
            return _plain({**facts, "verdicts": verdicts})

    def list_cells(self, study: str, variant: str | None = None) -> Plain:
        """List the cells (a variant, a tested task, a number of demonstrations) whose items show_items can show.

        Args:
            study: A study file.
            variant: Only of this one, by id or name; `base` is the untouched model.
        """
        from spillover.store.store import Store
        from spillover.study.cells import cell_name

        with self.lock:
            found, store = self._study(study), Store(self.store)
            cells = [
                {"cell": cell_name(found, step), "finished": store.has(step)}
                for step in found.scores
                if variant is None or variant in (step.predictions.model, step.predictions.model.split("/")[0])
            ]
            return _plain({"study": found.name, "cells": cells})

    def show_items(
        self, study: str, cell: str, only: Literal["regressions", "gains"] | None = None, limit: int = 5
    ) -> Plain:
        """Show items of one cell: prompt, target, what the base answered and what the variant answered.

        Args:
            study: A study file.
            cell: As list_cells names it, such as `sft/siqa/48/0:amazon:2`.
            only: `regressions` are items the variant lost, `gains` those it won.
            limit: The most items, 1 to 50.
        """
        from spillover.commands.show import Only, chosen_items, plain_items
        from spillover.store.store import Store
        from spillover.study.cell_items import read_cell_items
        from spillover.study.cells import find_score

        if not 1 <= limit <= 50:
            raise UserError(f"limit is {limit}; expected 1 to 50")
        with self.lock:
            loaded = self._study(study)
            found = read_cell_items(loaded, Store(self.store), find_score(loaded, cell))
            items = chosen_items(found, Only(only) if only else None)
            return _plain(plain_items(found, items[:limit], len(items)))

    def plan(self, study: str) -> Plain:
        """Say what of a study is to do, the disk it takes, and the smallest difference its design can show.

        Args:
            study: A study file.
        """
        from spillover.commands.plan import made_plan, plain_plan
        from spillover.store.store import Store

        with self.lock:
            found = self._study(study)
            return _plain(plain_plan(made_plan(found, Store(self.store), machine=None, notice=terminal.notice)))

    def status(self, study: str) -> Plain:
        """Count the steps of a study that are done and to do.

        Args:
            study: A study file.
        """
        from spillover.commands.status import step_counts

        with self.lock:
            found = self._study(study)
            return _plain({"study": found.name, "steps": step_counts(found, self.store)})

    def path(self, name: str) -> Path:
        """Return a path within the folder.

        Raises:
            UserError: If it leads elsewhere.
        """
        path = (self.folder / name).resolve()
        if not path.is_relative_to(self.folder):
            raise UserError(f"{name} is outside the folder that is served; take a name from list_studies")
        return path

    def _study(self, name: str) -> Study:
        return terminal.study(self.path(name), None)

    def _files(self, suffixes: Iterable[str]) -> Iterator[Path]:
        found = (path for place in PLACES for suffix in suffixes for path in self.folder.glob(place + suffix))
        hidden = (path for path in found if not any(part[0] == "." for part in path.relative_to(self.folder).parts))
        return iter(sorted(path for path in hidden if path.is_file() and not path.is_relative_to(self.store)))

    def _studies(self) -> Iterator[Plain]:
        """Yield study files, known by their keys; no model or task of them is looked up, which might fetch it."""
        from spillover.questions import QUESTIONS
        from spillover.report.place import MARK
        from spillover.settings import load_yaml

        trains = {"variants", *(key for question in QUESTIONS for key in question.design_keys)}
        for path in self._files((".yaml", ".yml")):
            if (path.parent / MARK).exists():  # the copy beside a report
                continue
            try:
                content = load_yaml(path)
            except (SpilloverError, OSError):
                continue
            if isinstance(content, Mapping) and "base" in content and trains & content.keys():
                yield {"study": path.relative_to(self.folder).as_posix(), "base": content["base"]}

    def _reports(self) -> Iterator[Plain]:
        for path in self._files((".json",)):
            if path.name != "summary.json":
                continue
            try:
                found = json.loads(path.read_bytes())
                lights = {item["variant"]: item["light"] for item in found["verdicts"]}
                name = found["study"]
            except (OSError, ValueError, LookupError, TypeError, AttributeError):
                continue
            yield {"report": path.relative_to(self.folder).as_posix(), "of": name, "lights": lights}


def _is_of(verdict: Mapping[str, Any], variant: str) -> bool:
    names = (verdict["variant"], *verdict["variants"])
    return variant in names or any(name.split("/")[0] == variant for name in names)


def _plain(value: object) -> Plain:
    """Return what JSON makes of a value, without credentials: nothing else goes out."""
    found: Plain = json.loads(without_credentials(json.dumps(value, default=str)))
    return found


class Runs:
    """Runs studies beside the server, one at a time, and gates them; a run ends with the server."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._process: subprocess.Popen[bytes] | None = None
        self._study = ""
        self._logs = tempfile.TemporaryDirectory(prefix="spillover-mcp-")
        self._log = Path(self._logs.name) / "run.log"

    def __enter__(self) -> Runs:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process:
            self._process.terminate()
            self._process.wait()
        self._logs.cleanup()

    def run(self, study: str) -> Plain:
        """Begin to do whatever is missing of a study, which may take hours; read_log says how it goes on.

        Finished steps are kept: a run that ended early goes on where it stopped. Afterwards there is a report.

        Args:
            study: A study file.
        """
        path = self._desk.path(study)
        if not path.is_file():
            raise UserError(f"{study}: no such file; take a name from list_studies")
        if self._process and self._process.poll() is None:
            raise UserError(f"{self._study} is running; wait for its end, which read_log tells")
        command = [sys.executable, "-m", "spillover", "run", str(path), "--store", str(self._desk.store)]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command, cwd=self._desk.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
            )
        self._study = study
        return self.read_log()

    def read_log(self) -> Plain:
        """Say whether the last run goes on or how it ended, and the last lines it said."""
        if self._process is None:
            raise UserError("nothing has been run since the server started")
        code = self._process.poll()
        said = self._log.read_text(encoding="utf-8", errors="replace")[-LOG_TAIL:]
        return _plain({"study": self._study, "is_running": code is None, "exit_code": code, "log": said})

    def gate(
        self,
        source: str,
        max_loss: float | None = None,
        max_task_loss: float | None = None,
        named: Mapping[str, float] | None = None,
        undecided: Literal["undecided", "fail", "pass"] | None = None,
        variants: Sequence[str] = (),
        baseline: str | None = None,
        rules: str | None = None,
    ) -> Plain:
        """Say whether variants may pass: `pass`, `fail` or `undecided`, with every check.

        An undecided check is no pass, unless whoever asks says that it counts as one.

        Args:
            source: A study file, or the summary.json of a report.
            max_loss: What a relation may lose, a share: 0.05 is five answers in a hundred.
            max_task_loss: What every single task may lose; without it only tasks that are named are looked at.
            named: A relation, kind of metric or task to what may be lost there.
            undecided: What an undecided check counts as.
            variants: Ids or names; all without one.
            baseline: The summary.json of the last release; losses are then taken from it.
            rules: A YAML file of max_loss, max_task_loss, named and undecided.
        """
        from spillover.commands import gating

        desk = self._desk
        losses = [
            *([] if max_loss is None else [str(max_loss)]),
            *(f"{name}={loss}" for name, loss in (named or {}).items()),
        ]
        rule = gating.rule(desk.path(rules) if rules else None, losses, max_task_loss, undecided)
        before = desk.path(baseline) if baseline else None
        with desk.lock:
            return _plain(
                gating.plain_outcome(gating.checked(desk.path(source), rule, variants, before, store=desk.store))
            )
