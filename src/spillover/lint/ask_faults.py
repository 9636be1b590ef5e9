"""Lint's checks of how cells are asked: prompts that do not fit, and verdicts of a model on rows that it learnt."""

from __future__ import annotations

from collections.abc import Iterator

from spillover.lint.findings import Evidence, Finding, Severity
from spillover.records import PLAIN
from spillover.steps.cell_steps import AskCell
from spillover.steps.predict import TOO_LONG
from spillover.steps.supervise_cells import Classify


def too_long(evidence: Evidence) -> Iterator[Finding]:
    """Every prompt fits the model's context; an item of which one does not leaves all cells of its task and shots."""
    for asked in (*evidence.asked, *evidence.asked_otherwise):
        if count := asked.dropped.get(TOO_LONG, 0):
            as_ = "" if asked.step.cell.ask == PLAIN else f" as {asked.step.cell.ask}"
            yield Finding(
                "too-long",
                Severity.WARNING,
                f"{asked.where}{as_}",
                f"{count} of {count + len(asked.prompts)} prompts do not fit the model's context",
                "their items leave every cell of the task at these shots, and it is the long ones that are missing",
                "use fewer shots, limit the ask with only, or set field_limits on the task",
            )


def own_training_rows(evidence: Evidence) -> Iterator[Finding]:
    """No prompt shows a model's own verdict on a row that it learnt: of those it is surer than of any other."""
    seen = set[tuple[str, str, str]]()
    for asked in (*evidence.asked, *evidence.asked_otherwise):
        for place, verdicts in asked.step.receipts:
            step, rows = verdicts.step, asked.shown if place == "demonstrations" else asked.cell.asked.examples
            if not isinstance(step, AskCell) or (isinstance(step, Classify) and step.is_out_of_fold):
                continue
            own = [row for row in rows if row in evidence.judges[step.model]]
            if own and (name := (step.model, asked.step.data.task.name, place)) not in seen:
                seen.add(name)
                yield Finding(
                    "own-training-rows",
                    Severity.ERROR,
                    asked.where,
                    f"receipts of {step.model} stand beside rows it is trained on: {len(own)}, such as {own[0].id}",
                    "it is surer of them and more often right than of new rows, so that the prompt teaches to copy it",
                    "train it on other rows, show receipts beside the test alone (where: test), or take a classifier "
                    "(supervised), which judges such demonstrations out of fold",
                )
