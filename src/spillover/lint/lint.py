"""Finds faults of a study's protocol before compute is spent: with rows and a tokenizer, and no model."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from spillover.errors import UserError
from spillover.lint import ask_faults, metric_faults, row_faults, token_faults
from spillover.lint.findings import Evidence, Finding, Severity, gather
from spillover.lint.reach import Reach, margin_reach
from spillover.statistics.power import WANTED
from spillover.statistics.resampled import MINIMUM_UNIT_COUNT
from spillover.steps.workshop import Workshop
from spillover.store.store import Store
from spillover.study.plan import COARSE, Detectable, detectable_differences
from spillover.study.study import Study

Check = Callable[[Evidence], Iterator[Finding]]
CHECKS: tuple[Check, ...] = (
    token_faults.begin_tokens,
    token_faults.control_tokens,
    token_faults.templates,
    token_faults.seams,
    token_faults.answers,
    token_faults.cut_rows,
    token_faults.cut_answers,
    token_faults.ends,
    row_faults.left_out_rows,
    row_faults.twin_answers,
    row_faults.overlaps,
    row_faults.mixed_sources,
    row_faults.demonstrations,
    row_faults.balance,
    row_faults.contamination,
    metric_faults.blind_metrics,
    ask_faults.too_long,
    ask_faults.own_training_rows,
    metric_faults.json_answers,
)


def lint(study: Study, store: Store, workshop: Workshop) -> tuple[Finding, ...]:
    """Return what is wrong with a study, the worst first.

    Rows and token ids stay in the workshop, so that a run which follows does not compute them again.
    """
    evidence, findings = gather(study, workshop)
    for check in CHECKS:
        findings += check(evidence)
    if len(evidence.asked_once) == len(study.suite_tasks):
        findings += margin_out_of_reach(margin_reach(study, workshop))
        if evidence.trained:
            findings += too_few_items(detectable_differences(study, store, workshop))
    return tuple(sorted(findings, key=lambda finding: list(Severity).index(finding.severity)))


def too_few_items(rows: tuple[Detectable, ...]) -> Iterator[Finding]:
    """Yield one finding for each relation whose coarsest variant cannot show the difference that is looked for."""
    coarsest: dict[str, Detectable] = {}
    for row in rows:
        if row.relation not in coarsest or row.difference > coarsest[row.relation].difference:
            coarsest[row.relation] = row
    for relation, row in coarsest.items():
        if not row.has_interval:
            yield Finding(
                "too-few-items",
                Severity.WARNING,
                f"{relation}",
                f"a task has {row.fewest_units} independent rows, or sources of rows",
                f"below {MINIMUM_UNIT_COUNT} the report gives no interval, and so no verdict",
                "raise test_limit, or test on rows of more sources",
            )
        if row.difference > WANTED:
            yield Finding(
                "too-few-items",
                Severity.WARNING if row.difference > COARSE else Severity.NOTE,
                f"{relation}",
                f"{row.item_count} items show a difference only from {row.difference:.2f} on",
                "a smaller loss will most likely stay undecided, and 'no difference found' will not mean 'no loss'",
                row.mend,
            )


def margin_out_of_reach(reach: Reach) -> Iterator[Finding]:
    """Yield one finding for all tasks with too few items to ever show that less than the margin was lost."""
    if reach.short:
        is_all = len(reach.short) == len(reach.tasks)
        yield Finding(
            "margin",
            Severity.WARNING if is_all else Severity.NOTE,
            "every tested task" if is_all else f"{len(reach.short)} of {len(reach.tasks)} tested tasks",
            reach.sentence,
            "whatever they answer, 'nothing lost' cannot be said of any of them, and of a relation only where its "
            "tasks have that many together",
            reach.mend,
        )


def refuse_errors(findings: tuple[Finding, ...], notice: Callable[[str], None], *, study_file: str) -> None:
    """Say each warning in one line.

    Raises:
        UserError: If there is an error among the findings.
    """
    for finding in findings:
        if finding.severity is Severity.WARNING:
            notice(finding.line)
    errors = [finding for finding in findings if finding.severity is Severity.ERROR]
    if errors:
        more = f" (and {len(errors) - 1} more: spillover lint {study_file})" if len(errors) > 1 else ""
        first = errors[0].what if errors[0].check == "unusable" else errors[0].line.removeprefix("error: ")
        raise UserError(f"{first}{more}")
