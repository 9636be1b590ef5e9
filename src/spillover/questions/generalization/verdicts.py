"""The sentence and the light that sum up a variant, and what would settle an open one."""

from collections.abc import Mapping, Sequence

from spillover.analysis.idle import IdleCell
from spillover.analysis.readings import Change, Reading, Subject
from spillover.analysis.verdict import Light, Verdict
from spillover.analysis.wording import difference_words, interval_words, named, plain, signed
from spillover.questions.generalization.settling import settling
from spillover.records import BASE, Measurement, Relation, StudyResults
from spillover.statistics.inference import unit_margin

TASK_FACTOR = 2.5
"""How many times the margin a single task may have lost at the most, where its relation as a whole lost less."""

RULE = (
    "A variant loses when some relation, or some task, is significantly below the base, and is mixed when another is "
    "significantly above. Else it is untested when no test outside its own task could have shown a loss: where the "
    "base is not shown to do better than by knowing nothing, nothing can be lost. It keeps when every relation is "
    "shown to have lost less than {margin:g} and every task less than {task_margin:g} (one-sided tests at 5 %, over "
    "the cells that could have shown a loss; where it is not stated what it was trained on, without the task that "
    "gained most, which may be its own). Otherwise it is unclear: too few items to tell. Significant means at 5 % "
    "after Holm's adjustment over all variants, relations, kinds of metric and tasks of the study; intervals are 95 %, "
    "not adjusted."
)

LIGHT_TERMS: Mapping[Light, str] = {
    "loses": "some task, or kind of tasks, is significantly below the base",
    "mixed": "something is significantly below the base, something else above",
    "unclear": "too few items to exclude a loss of {margin:g}",
    "untested": "no test outside its own task could have shown a loss",
    "keeps": "shown to have lost less than {margin:g}",
}
"""What each light means in one line, see `RULE`; those first that ask for a decision."""

LABEL_SHARE = "label_share"
"""The metric that counts generations which are a bare label word."""

LABEL_SHARE_MENTIONED = 0.1
"""From this share on a verdict mentions label words in generations; below it a few coincidences can explain them."""

CONSTANT_SHARE = 0.9
"""From this share of equal answers on a verdict says so; more where the targets themselves are nearly all alike."""


_WHERE = {
    Relation.IN_DOMAIN: "its task",
    Relation.OUT_OF_DOMAIN: "out of domain",
    Relation.CROSS_TASK: "across tasks",
    Relation.UNSTATED: "over the tested tasks, of which any may be its own",
}
_IDLE = "the base is not shown to do better there than by knowing nothing"
_ELSEWHERE = (Relation.OUT_OF_DOMAIN, Relation.CROSS_TASK)


def light(subject: Subject, margin: float) -> Light:
    """Return the light of what is judged, see `RULE`."""
    changes = {entry.change for entry in (*subject.rows, *subject.tasks)}
    if Change.LOST in changes:
        return "mixed" if Change.GAINED in changes else "loses"
    if not is_tested(subject):
        return "untested"
    return "unclear" if open_questions(subject, margin) else "keeps"


def is_tested(subject: Subject) -> bool:
    """Return whether a test outside the own task could have shown a loss.

    Where it is not stated what a variant was trained on, one of two tasks is outside.
    """
    able = [entry for entry in subject.tasks if entry.can_lose is not None]
    unstated = [entry for entry in able if entry.relation is Relation.UNSTATED]
    return any(entry.relation in _ELSEWHERE for entry in able) or len(unstated) > 1


def open_questions(subject: Subject, margin: float) -> list[tuple[Reading, float]]:
    """Return what is not shown to have lost little enough, with how much that is.

    What fell by more than its interval allows for, or has none, is open even where it could not have shown a loss.
    """
    rows = [(row, margin) for row in subject.rows]
    tasks = [(task, TASK_FACTOR * margin) for task in subject.tasks]
    return [
        (entry, allowed)
        for entry, allowed in (*rows, *tasks)
        if entry.looks_lost or (entry.can_lose is not None and not entry.excludes_loss_of(allowed))
    ]


def verdicts(
    results: StudyResults,
    judged: Sequence[Subject],
    idle: Sequence[IdleCell],
    measurements: Sequence[Measurement],
) -> tuple[Verdict, ...]:
    """Return one verdict per variant, or per recipe where that has several training seeds.

    Raises:
        ValueError: When nothing was tested.
    """
    rule = RULE.format(margin=results.margin, task_margin=TASK_FACTOR * results.margin)
    found = []
    of_variant: dict[str, list[Measurement]] = {}
    for row in measurements:
        of_variant.setdefault(row.variant, []).append(row)
    for subject in judged:
        if not subject.rows:
            raise ValueError(f"{subject.name}: no tested cell; cannot judge")
        numbers = tuple(_number(row) for row in subject.rows)
        own, ids = light(subject, results.margin), tuple(card.id for card in subject.cards)
        measured = [row for variant in ids for row in of_variant.get(variant, ())]
        harmed, lost = _negative_transfer(results, measured), _lost_tasks(subject)
        settle = settling(results, subject, open_questions(subject, results.margin)) if own == "unclear" else ""
        idle_tasks = _idle_tasks(subject, idle)
        parts = [
            _seeds(subject) + ", ".join(_clause(subject, row, results.margin, measured) for row in subject.rows),
            f"loses {named([f'{name} {signed(change)}' for name, change in lost.items()])}" if lost else "",
            f"negative transfer to {named(also)}" if (also := [name for name in harmed if name not in lost]) else "",
            _label_words(results, measured),
            _constant(results, ids),
            f"{named(idle_tasks)} cannot lose here: {_IDLE}" if idle_tasks else "",
            _to_add(subject) if own == "untested" else "",
        ]
        reading = "; ".join(part for part in parts if part)
        worst, largest = _worst(subject), _largest_loss(subject)
        ends = "; ".join(part for part in (worst, largest, settle) if part)
        sentence = f"{subject.name}: {', '.join(numbers)}: {reading}{f'; {ends}' if ends else ''}."
        found.append(
            Verdict(
                subject.name, ids, sentence, numbers, reading, own, rule, worst, largest, settle, idle_tasks, harmed
            )
        )
    return tuple(found)


def _number(row: Reading) -> str:
    mean = row.mean
    doubt = " (not after adjustment)" if row.excludes_zero and not row.is_significant else ""
    interval = interval_words(mean.found.low, mean.found.high)
    number = difference_words(mean.difference, mean.found.low, mean.found.high)
    return f"{row.relation} {number} {interval} {row.metric.kind}{doubt}"


def _seeds(subject: Subject) -> str:
    """Say of how many training seeds it is; nothing of models that were trained elsewhere."""
    if len(subject.cards) > 1:
        return f"over {len(subject.cards)} seeds "
    return "this seed " if subject.cards[0].training else ""


def _clause(subject: Subject, row: Reading, margin: float, measured: Sequence[Measurement]) -> str:
    where = _WHERE[row.relation]
    if [other.relation for other in subject.rows].count(row.relation) > 1:
        where += f" in {row.metric.kind}"
    on = f"{'on ' if row.relation is Relation.IN_DOMAIN else ''}{where}"
    match row.change:
        case Change.GAINED:
            return f"gains {on if row.relation is Relation.UNSTATED else where}{_uneven(row, measured)}"
        case Change.LOST:
            return f"loses {on if row.relation is Relation.UNSTATED else where}"
        case Change.KEPT:
            return f"has lost nothing {on} (within {margin * unit_margin(row.metric):g})"
        case Change.IDLE:
            floor = ", still no better than knowing nothing" if row.is_at_floor and row.excludes_zero else ""
            return f"can show nothing {on}{floor}"
        case Change.UNCLEAR:
            return f"shows no clear change {on}"


def _uneven(row: Reading, measured: Sequence[Measurement]) -> str:
    """Say in how many of a mean's cells it did not go up, where there are any."""
    cells = [one for one in measured if one.is_primary and one.tested_on in row.tasks and one.relation == row.relation]
    other = sum(row.sign * one.difference <= 0 for one in cells)
    return f", though not in {other} of {len(cells)} cells" if other else ""


def _lost_tasks(subject: Subject) -> dict[str, float]:
    """Return the tasks that are significantly below where their row as a whole is not, worst first."""
    whole = {(row.relation, row.metric.kind) for row in subject.rows if row.change is Change.LOST}
    lost = [
        entry
        for entry in subject.tasks
        if entry.change is Change.LOST and (entry.relation, entry.metric.kind) not in whole
    ]
    return {entry.tasks[0]: entry.mean.difference for entry in sorted(lost, key=_relative)}


def _relative(entry: Reading) -> float:
    """Return a gain in units of what a margin of 1 is, so that metrics can be ordered."""
    return entry.sign * entry.mean.difference / unit_margin(entry.metric)


def _worst(subject: Subject) -> str:
    worst = min(subject.tasks, key=_relative)
    if worst.sign * worst.mean.difference >= 0:
        return ""
    found = worst.mean.found
    return (
        f"worst task {worst.tasks[0]} {difference_words(worst.mean.difference, found.low, found.high)} "
        f"{interval_words(found.low, found.high)} "
        f"on {worst.item_count:,} items"
    )


def _largest_loss(subject: Subject) -> str:
    open_losses = [
        (loss / unit_margin(entry.metric), loss, entry)
        for entry in subject.tasks
        if (loss := entry.largest_loss) is not None and loss > 0
    ]
    if not open_losses:
        return ""
    _, loss, entry = max(open_losses, key=lambda found: found[0])
    unit = "" if entry.metric.unit == "share" else f" in {entry.metric.name}"
    return f"a loss of up to {plain(loss, 2 if loss >= 0.01 else 3)}{unit} on {entry.tasks[0]} is not excluded"


def _idle_tasks(subject: Subject, idle: Sequence[IdleCell]) -> tuple[str, ...]:
    tasks = {entry.tasks[0] for entry in subject.tasks if entry.change is Change.IDLE}
    return tuple(dict.fromkeys(entry.cell.tested_on for entry in idle if entry.cell.tested_on in tasks))


def _to_add(subject: Subject) -> str:
    elsewhere = [entry for entry in subject.tasks if entry.relation in _ELSEWHERE]
    if elsewhere:
        return "add tests that the base can do better than by chance"
    if any(entry.relation is Relation.UNSTATED for entry in subject.tasks):
        return "say what it was trained on, or add tests of other tasks that the base can do"
    return "add tests other than its own task: other data of its kind, and other tasks"


def _negative_transfer(results: StudyResults, measured: Sequence[Measurement]) -> tuple[str, ...]:
    """Return the tasks, other than the one trained on, of which some cell is significantly worse than the base's."""
    primary = {task.name: task.primary_metric for task in results.tasks}
    harmed = [
        row.tested_on
        for row in measured
        if row.relation != Relation.IN_DOMAIN
        and row.metric == primary[row.tested_on]
        and row.is_clear
        and (row.difference < 0) == results.metrics[row.metric].higher_is_better
    ]
    return tuple(dict.fromkeys(harmed))


def _label_words(results: StudyResults, measured: Sequence[Measurement]) -> str:
    free_text = {task.name for task in results.tasks if not task.answers}
    rows = [
        row
        for row in measured
        if row.metric == LABEL_SHARE
        and row.relation == Relation.CROSS_TASK
        and row.tested_on in free_text
        and row.value >= LABEL_SHARE_MENTIONED
    ]
    if not rows:
        return ""
    worst = max(rows, key=lambda row: row.value)
    return f"{worst.value:.0%} of its answers to {worst.tested_on} ({worst.shots} shots) are bare label words"


def _constant(results: StudyResults, variants: Sequence[str]) -> str:
    """Say where nearly all answers are the same, though the targets are not."""
    majority = {task.name: task.majority_accuracy for task in results.tasks}
    found = []
    for (model, cell), common in results.common_answers.items():
        before = results.common_answers.get((BASE, cell))
        is_more = before is None or before.share < common.share
        if model in variants and is_more and common.share >= _odd_share(majority.get(cell.tested_on)):
            words = f"answers {common.text!r} to {common.share:.0%} of {cell.tested_on}"
            found.append((common.share, words, cell.shots))
    if not found:
        return ""
    _, words, shots = max(found)
    others = len(found) - 1
    more = f", and one answer to nearly all of {others} more cell{'s' if others > 1 else ''}" if others else ""
    return f"{words} ({shots} shots){more}"


def _odd_share(majority: float | None) -> float:
    """Return from which share on one answer is said to be given to nearly everything.

    Args:
        majority: Share of the most frequent target; None where targets have none.
    """
    usual = majority or 0.0
    return max(CONSTANT_SHARE, min(usual + 1 - CONSTANT_SHARE, (1 + usual) / 2))
