"""The step that takes in what a classifier of the user's own said of rows, from a file."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from spillover.errors import UserError
from spillover.models.spec import ResolvedModel
from spillover.records import Example, FloatArray
from spillover.steps.speed import Cost, Speed
from spillover.steps.step import Told
from spillover.steps.supervise_variant import ClassifierVariant
from spillover.steps.variant import Tested
from spillover.steps.workshop import Workshop
from spillover.store import files
from spillover.tasks.relation import TrainedOn
from spillover.tasks.table import RawRow, table_rows

GIVEN = "given.json"
OWN_COLUMNS = ("id", "text", "label", "task")
"""Every other column is a label, and holds its share."""
OFF_ONE = 0.01
"""How far a row's shares may be from one in all, written as they are with few digits."""


@dataclass(frozen=True, slots=True)
class GivenFile:
    """What a file of predictions holds."""

    path: Path
    digest: str
    """SHA-256 of its content."""
    labels: tuple[str, ...]
    tasks: frozenset[str]
    """The tasks that it is of; empty where it does not say."""
    names: Mapping[str, int]
    """Id and normalised text of a row to its place."""
    shares: FloatArray
    """``(rows, labels)``"""


def read_given(path: Path, content: bytes) -> GivenFile:
    """Read a CSV (or ``.jsonl``) with a column ``id`` or ``text``, and ``label`` or a share for each label.

    Raises:
        UserError: If it is not as expected.
    """
    rows = table_rows(content, file=str(path), format="jsonl" if path.suffix == ".jsonl" else "csv")
    columns = tuple(rows[0].values)
    named = [column for column in ("id", "text") if column in columns]
    shared = [column for column in columns if column not in OWN_COLUMNS]
    if not named or not (shared or "label" in columns):
        raise UserError(
            f"{path}: the columns are {', '.join(columns)}; expected id or text of the row, and label or one column "
            "for each label with its share"
        )
    labels = tuple(shared or dict.fromkeys(row.text("label") for row in rows))
    if len(labels) < 2 or "" in labels:
        raise UserError(f"{path}: the labels are {', '.join(map(repr, labels))}; expected two at the least")
    names: dict[str, int] = {}
    for place, row in enumerate(rows):
        for name in {_normal(row.text(column)) for column in named} - {""}:
            if names.setdefault(name, place) != place:
                raise UserError(f"{row.place}: {name[:60]!r} is in row {names[name] + 1} too; keep one of the two")
    shares = np.array([_shares(row, labels, is_hard=not shared) for row in rows])
    tasks = frozenset(row.text("task") for row in rows) - {""} if "task" in columns else frozenset[str]()
    return GivenFile(path, hashlib.sha256(content).hexdigest(), labels, tasks, names, shares)


def _shares(row: RawRow, labels: tuple[str, ...], *, is_hard: bool) -> FloatArray:
    if is_hard:
        return np.array([label == row.text("label") for label in labels], dtype=np.float64)
    try:
        found = np.array([float(row.text(label)) for label in labels])
    except ValueError:
        found = np.full(len(labels), np.nan)
    if not (np.isfinite(found).all() and (found >= 0).all() and abs(found.sum() - 1) <= OFF_ONE):
        said = ", ".join(f"{label} {row.text(label)}" for label in labels)
        raise UserError(f"{row.place}: the shares are {said}; expected numbers from 0 to 1 that sum to 1")
    own = row.text("label") if "label" in row.values else ""
    if own and (own not in labels or found[labels.index(own)] < found.max()):
        raise UserError(
            f"{row.place}: the label is {own!r}, the largest share is of {labels[int(found.argmax())]!r}; leave the "
            "column label out, or give the shares it was chosen by"
        )
    return np.asarray(found / found.sum(), dtype=np.float64)


def _normal(text: str) -> str:
    return " ".join(text.split())


@dataclass(frozen=True, kw_only=True)
class TakeGiven(ClassifierVariant):
    """Take in what a classifier of the user's own said of rows."""

    kind: ClassVar[str] = "given-predictions"
    version: ClassVar[int] = 1
    name: str
    base: ResolvedModel
    """Beside which it stands; not part of the key."""
    path: Path
    """Where the file lies; not part of the key, what it holds is."""
    digest: str
    """SHA-256 of the file."""
    labels: tuple[str, ...]
    tasks: frozenset[str]
    """As of `GivenFile`; part of what the file holds."""
    trained_on: TrainedOn | None = None
    """None where it is not stated; changes no prediction and is not part of the key."""
    size: int = 0
    """Training rows: not known."""
    seed: int = 0

    @property
    def variant(self) -> str:
        """The variant's id: its name and, where that is stated, what it was trained on."""
        return f"{self.name}/{self.trained_on.name}" if self.trained_on else self.name

    @property
    def label(self) -> str:
        return f"take in predictions of {self.variant}"

    def fields(self) -> Mapping[str, Any]:
        return {"sha256": self.digest, "format": self.path.suffix == ".jsonl"}

    def recipe_card(self) -> dict[str, Any]:
        return {"trained_elsewhere": {"predictions": self.path.name, "sha256": self.digest}}

    def work(self, workshop: Workshop) -> float:
        return 1.0

    def cost(self, work: float, workshop: Workshop, speed: Speed) -> Cost:
        return Cost()

    def asked_work(self, rows: Sequence[Example]) -> float:
        return 1.0

    def outside_fault(self, cache: Path) -> str | None:
        return None if self._content() is not None else f"{self.path}: changed, or is no longer there"

    def _content(self) -> bytes | None:
        try:
            content = self.path.read_bytes()
        except OSError:
            return None
        return content if hashlib.sha256(content).hexdigest() == self.digest else None

    def cannot_answer(self, task: Tested) -> str | None:
        if self.tasks and task.name not in self.tasks:
            return f"{self.path.name} is of {', '.join(sorted(self.tasks))}"
        return super().cannot_answer(task)

    def compute(self, folder: Path, workshop: Workshop, told: Told) -> None:
        content = self._content()
        if content is None:
            raise UserError(f"{self.path}: changed while the study ran, or is no longer there; start it again")
        given = read_given(self.path, content)
        files.write_json(folder / GIVEN, {"names": dict(given.names), "shares": given.shares.tolist()})

    def asked_shares(self, rows: Sequence[Example], workshop: Workshop) -> FloatArray:
        """Return what the file says of rows, found by their id or their text.

        Raises:
            UserError: The file lacks one.
        """
        given = workshop.kept((self.kind, self.key), lambda: files.read_json(workshop.store.file(self, GIVEN)))
        names = given["names"]
        places = [names.get(_normal(row.id), names.get(_normal(" ".join(row.fields.values())))) for row in rows]
        lacking = [row for row, place in zip(rows, places, strict=True) if place is None]
        if lacking:
            raise UserError(
                f"{self.path}: {len(lacking)} of {len(rows)} rows are not in it, such as {lacking[0].id!r} "
                f"({' '.join(lacking[0].fields.values())[:60]!r}); add them, or a column task that names the tasks it "
                "is of"
            )
        return np.array(given["shares"], dtype=np.float64)[places]
