"""The step that finds, for every row that is asked, the rows of a pool most like it: what its prompt demonstrates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from spillover.errors import UserError
from spillover.models.spec import ResolvedModel
from spillover.prompts.demonstrations import draw
from spillover.prompts.similarity import Similarities, letter_similarities, nearest
from spillover.records import Example, FloatArray
from spillover.steps.asked_rows import AskedRows
from spillover.steps.outside import changed_model
from spillover.steps.prepare import Prepare
from spillover.steps.speed import Cost, Speed
from spillover.steps.step import Step, Told
from spillover.steps.workshop import Workshop
from spillover.store import files
from spillover.store.store import Store
from spillover.tasks.prepare import Protocol

PLACES = "nearest.json"
MOST_SHOWN = 32
"""Rows that are found for each, whatever shot counts a study has: all of them are one step."""
CHARACTERS_OF_TOKEN = 4
"""Of English text, about; for the price alone."""


@dataclass(frozen=True)
class Nearest(Step):
    """Find the rows of a pool that are most like each row that is asked."""

    kind: ClassVar[str] = "nearest"
    version: ClassVar[int] = 1
    data: Prepare
    rows: AskedRows
    """What is asked."""
    pool: AskedRows
    """Among what it is looked for."""
    test_limit: int
    protocol: Protocol
    base: ResolvedModel
    """For the price alone, not part of the key."""
    encoder: ResolvedModel | None = None
    """Whose vectors are compared; None compares letters."""

    @property
    def label(self) -> str:
        by = self.encoder.name if self.encoder else "their letters"
        asked = self.rows.words or "test rows"
        return f"find {self.pool.words} of {self.data.task.name} like its {asked} by {by}"

    def fields(self) -> Mapping[str, Any]:
        encoder = {"weights": self.encoder.fingerprint, **self.encoder.encoding_fields()} if self.encoder else None
        return {
            "rows": self.rows.plain(),
            "pool": self.pool.plain(),
            "test_limit": self.test_limit,
            "protocol": self.protocol,
            "encoder": encoder,
            "count": MOST_SHOWN,
        }

    def inputs(self) -> Mapping[str, Step]:
        return {"data": self.data, **self.rows.inputs(), **self.pool.inputs()}

    def asked(self, workshop: Workshop) -> tuple[Example, ...]:
        """Return the rows that are asked."""
        return self.rows.examples(self.data, self.protocol, self.test_limit, workshop)[0]

    def shown_from(self, workshop: Workshop) -> tuple[Example, ...]:
        """Return the pool."""
        return self.pool.examples(self.data, self.protocol, 0, workshop)[0]

    def work(self, workshop: Workshop) -> float:
        pool = self.shown_from(workshop)
        if self.encoder is None:
            return 1.0
        characters = sum(len(text) for row in (*self.asked(workshop), *pool) for text in row.fields.values())
        lightness = self.encoder.parameter_count / self.base.parameter_count
        return max(1.0, characters / CHARACTERS_OF_TOKEN * lightness)

    def cost(self, work: float, workshop: Workshop, speed: Speed) -> Cost:
        return speed.asked_token * work if self.encoder else Cost()

    def outside_fault(self, cache: Path) -> str | None:
        return changed_model(self.encoder, cache) if self.encoder else None

    def memory_bytes(self, shapes: Mapping[str, tuple[int, ...]]) -> int:
        return 4 * self.encoder.parameter_count if self.encoder else 0

    def compute(self, folder: Path, workshop: Workshop, told: Told) -> None:
        rows, pool = self.asked(workshop), self.shown_from(workshop)
        found = nearest(rows, pool, self._similarities(pool, workshop), count=MOST_SHOWN)
        chosen = {row.id: [pool[place].id for place in places] for row, places in zip(rows, found, strict=True)}
        files.write_json(folder / PLACES, chosen)

    def _similarities(self, pool: Sequence[Example], workshop: Workshop) -> Similarities:
        if self.encoder is None:
            return letter_similarities(pool)
        from spillover.models.embedding import Embedder

        embedder = Embedder(self.encoder.path, device=workshop.device)

        def vectors(rows: Sequence[Example]) -> FloatArray:
            return embedder.vectors(["\n".join(row.fields.values()) for row in rows])

        of_pool = vectors(pool)
        return lambda rows: vectors(rows) @ of_pool.T

    def shown(self, rows: Sequence[Example], count: int, workshop: Workshop) -> list[tuple[Example, ...]]:
        """Return the demonstrations of each row, the most alike last: what stands nearest to a question counts most.

        Before the step is done they are drawn, so that what is asked can be priced: as long, and as little shared.

        Raises:
            UserError: The pool has too few rows.
        """
        pool = self.shown_from(workshop)
        if count > MOST_SHOWN:
            raise UserError(f"{count} similar demonstrations asked for; at most {MOST_SHOWN} are found for a row")
        if count > len(pool):
            raise UserError(
                f"task {self.data.task.name!r}: {count} similar demonstrations asked for, its pool has {len(pool)} "
                "rows; ask for fewer, or lower sizes"
            )
        if not workshop.store.has(self):
            return [draw(pool, count, row, seed=0) for row in rows]
        by_id, chosen = {row.id: row for row in pool}, self.chosen(workshop.store)
        return [tuple(by_id[name] for name in reversed(chosen[row.id][:count])) for row in rows]

    def chosen(self, store: Store) -> Mapping[str, Sequence[str]]:
        """Return the ids of the rows most like each, by its id, the most alike first; the step is finished."""
        found: dict[str, list[str]] = files.read_json(store.file(self, PLACES))
        return found
