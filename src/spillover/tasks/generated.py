"""A source whose rows a program writes, so that a task needs no data and its difficulty is known."""

import hashlib
import json
from collections.abc import Mapping, Sequence

from pydantic import Field, model_validator

from spillover.errors import unknown_name
from spillover.settings import Settings
from spillover.tasks.facts import TELLINGS, fact_rows
from spillover.tasks.facts_in_context import IN_CONTEXT, context_rows
from spillover.tasks.ladder import LADDER, ladder_row
from spillover.tasks.skills import SKILLS, skill_row
from spillover.tasks.table import RawRow


class GeneratedSource(Settings):
    """Rows that a program writes: a skill, a rung of `tasks.ladder`, a telling of `facts` or `facts_in_context`."""

    generated: str
    """Its kind."""
    seed: int = 0
    start: int = Field(default=0, ge=0)
    """Rows before it are left out; a row depends on its number and the seed only."""
    count: int = Field(gt=0)
    """Rows."""
    false_share: float = Field(default=0.0, ge=0, le=1)
    """Share of the facts that are told wrong."""

    @model_validator(mode="after")
    def _known(self) -> "GeneratedSource":
        kinds = [*SKILLS, *LADDER, *TELLINGS, IN_CONTEXT]
        if self.generated not in kinds:
            raise ValueError(str(unknown_name("kind of generated rows", self.generated, kinds)))
        if self.false_share and self.generated not in TELLINGS:
            raise ValueError(f"false_share is for facts; {self.generated!r} has none")
        return self

    @property
    def file(self) -> str:
        """What stands for the file in ids and messages."""
        return f"generated/{self.generated}/{self.seed}"

    def rows(self) -> list[RawRow]:
        """Write the rows."""
        numbers = range(self.start, self.start + self.count)
        values: Sequence[Mapping[str, object]]
        if self.generated in SKILLS:
            values = [skill_row(self.generated, number, seed=self.seed) for number in numbers]
        elif self.generated == IN_CONTEXT:
            values = context_rows(numbers, seed=self.seed)
        elif self.generated in LADDER:
            values = [ladder_row(self.generated, number, seed=self.seed) for number in numbers]
        else:
            values = fact_rows(self.generated, numbers, seed=self.seed, false_share=self.false_share)
        return [RawRow(self.file, number + 1, row) for number, row in zip(numbers, values, strict=True)]

    def digest(self) -> str:
        """Return the SHA-256 of the rows, so that another way of writing them is another identity."""
        text = json.dumps([dict(row.values) for row in self.rows()], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()
