"""What lint says, and the rows and token ids it looks at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from spillover.errors import UserError
from spillover.prompts.encoding import Encoder, TokenIds
from spillover.records import Example
from spillover.steps.finetune import Finetune
from spillover.steps.mixed import replayed_examples
from spillover.steps.predict import Predict
from spillover.steps.workshop import Workshop
from spillover.study.study import Study
from spillover.tasks.prepare import PreparedTask, protocol_rows, training_rows

if TYPE_CHECKING:
    from spillover.evaluation.predict import EncodedCell
    from spillover.training.rows import TrainingRows


class Severity(StrEnum):
    """How bad a finding is, the worst first."""

    ERROR = "error"
    """Numbers would be wrong; `run` refuses."""
    WARNING = "warning"
    """Numbers would mislead who does not know of it; `run` says it."""
    NOTE = "note"
    """Good to know."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A fault of a study's protocol, found before compute is spent."""

    check: str
    """A stable name."""
    severity: Severity
    where: str
    what: str
    why: str
    """Why it matters."""
    mend: str

    @property
    def line(self) -> str:
        """The finding in one line."""
        return f"{self.severity}: {self.where}: {self.what}; {self.mend}"


@dataclass(frozen=True, slots=True)
class Asked:
    """A cell as every model is asked it, and the task's rows that were left out (reason to count)."""

    step: Predict
    cell: EncodedCell
    dropped: Mapping[str, int]

    @property
    def where(self) -> str:
        """The cell in words."""
        return f"task {self.step.data.task.name!r} at {self.step.cell.shots} shots"

    @property
    def prompts(self) -> Sequence[TokenIds]:
        """The ids of every prompt."""
        return self.cell.prompts


@dataclass(frozen=True, slots=True)
class Trained:
    """What a variant is trained on, as rows and as token ids."""

    step: Finetune
    examples: tuple[Example, ...]
    """Of the task itself, without what is mixed in."""
    rows: TrainingRows
    replayed: Mapping[str, Sequence[Example]]
    """Task to the rows of it that the recipe replays."""

    @property
    def where(self) -> str:
        """The variant in words."""
        return f"variant {self.step.variant!r}"

    @property
    def prompts(self) -> Sequence[TokenIds]:
        """The ids of every prompt."""
        return [row.prompt for row in self.rows.rows]

    @property
    def sources(self) -> Mapping[str, Sequence[Example]]:
        """Task to the rows of it that are trained on: several tasks for a mixture."""
        from spillover.training.rows import MixedRows

        return self.rows.examples if isinstance(self.rows, MixedRows) else {self.step.data.task.name: self.examples}

    @property
    def dropped(self) -> Mapping[str, int]:
        """Reason to count of the task's own rows; a mixture takes others in place of what its other sources lose."""
        from spillover.training.rows import MixedRows

        return self.rows.target_dropped if isinstance(self.rows, MixedRows) else self.rows.dropped


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything a study asks and trains on, encoded, with no model loaded."""

    study: Study
    encoder: Encoder
    prepared: Mapping[str, PreparedTask]
    asked: tuple[Asked, ...]
    trained: tuple[Trained, ...]

    @property
    def asked_once(self) -> Sequence[Asked]:
        """One cell a task, that of the fewest shots; all cells of a task ask the same rows."""
        first: dict[str, Asked] = {}
        for asked in sorted(self.asked, key=lambda asked: asked.step.cell.shots):
            first.setdefault(asked.step.data.task.name, asked)
        return tuple(first.values())

    @property
    def trained_examples(self) -> Mapping[str, Sequence[Example]]:
        """Task to all rows of it that any variant is trained on, alone, in a mixture or replayed."""
        rows: dict[str, dict[str, Example]] = {}
        held = (part for trained in self.trained for part in (trained.sources, trained.replayed))
        for task, examples in (item for part in held for item in part.items()):
            rows.setdefault(task, {}).update({row.id: row for row in examples})
        return {task: tuple(by_id.values()) for task, by_id in rows.items()}


def gather(study: Study, workshop: Workshop) -> tuple[Evidence, list[Finding]]:
    """Read, render and encode everything a study needs; what cannot be is an error of its own."""
    failed: list[Finding] = []
    prepared: dict[str, PreparedTask] = {}
    asked: list[Asked] = []
    trained: list[Trained] = []
    steps: dict[str, Predict | Finetune] = {step.key: step for step in study.finetunes}
    asking = [score.predictions for score in study.scores if score.predictions.variant is None]
    predictions = {step.key: step for step in asking if isinstance(step, Predict)}  # of lm-eval no rows are at hand
    for step in (*steps.values(), *predictions.values()):
        try:
            rows = prepared[step.data.task.name] = step.data.rows(workshop)
            if isinstance(step, Finetune):
                selected = training_rows(rows, step.size, seed=step.seed)
                kept, _ = protocol_rows(rows, split="train", protocol=step.rows.protocol, rows=selected)
                others = replayed_examples(step.rows, lambda data: data.rows(workshop))
                replayed = {data.task.name: own for (data, _), (own, _) in zip(step.rows.replayed, others, strict=True)}
                trained.append(Trained(step, kept, step.encoded(workshop)[0], replayed))
            else:
                asked.append(Asked(step, *step.encoded(workshop)))
        except UserError as error:
            failed.append(_unusable(step.label, error))
    for score in study.asked_otherwise:  # whose rows are the same; only whether their prompts fit is to be seen
        otherwise = score.predictions
        if otherwise.variant is None and isinstance(otherwise, Predict):
            try:
                otherwise.encoded(workshop)
            except UserError as error:
                failed.append(_unusable(otherwise.label, error))
    encoder = workshop.encoder(study.base.path)
    return Evidence(study, encoder, prepared, tuple(asked), tuple(trained)), list(_once(failed))


def _unusable(where: str, error: UserError) -> Finding:
    why = "nothing can be computed from it"
    return Finding("unusable", Severity.ERROR, where, str(error), why, "mend that first")


def _once(findings: Sequence[Finding]) -> Sequence[Finding]:
    """Keep the first finding of those that say the same."""
    return tuple({finding.what: finding for finding in reversed(findings)}.values())[::-1]
