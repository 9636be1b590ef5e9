"""Whether a variant may pass: what it lost at most, against what it is allowed to lose."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from math import hypot, isfinite
from typing import Any

from spillover.analysis.readings import Reading, Subject
from spillover.analysis.wording import interval_words, named, plain, signed
from spillover.statistics.inference import unit_margin

MAX_LOSS = 0.05
"""What may be lost where no rule says otherwise: five answers in a hundred."""


class Outcome(StrEnum):
    """What a check comes to."""

    PASS = "pass"
    FAIL = "fail"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True)
class Gain:
    """A difference to the base, above zero where the variant is better, in units of a share."""

    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class JudgedReading:
    """What was read of one relation and kind of metric, or of one task, as `summary.json` holds it."""

    scope: str
    """``relation`` or ``task``."""
    relation: str
    kind: str
    """Of the metric."""
    tasks: tuple[str, ...]
    item_count: int
    all_cells: Gain
    can_lose: Gain | None
    """Over the cells that could have shown a loss; None without any."""

    @property
    def words(self) -> str:
        """Name it."""
        where = self.tasks[0] if self.scope == "task" else self.relation
        return f"{where}, {self.kind}"


@dataclass(frozen=True, slots=True)
class JudgedSubject:
    """A variant, or a recipe with several seeds, and everything its verdict rests on."""

    name: str
    variants: tuple[str, ...]
    light: str
    readings: tuple[JudgedReading, ...]


@dataclass(frozen=True, slots=True)
class Rule:
    """What may be lost."""

    max_loss: float = MAX_LOSS
    """Of a relation; a share, and as much of what is measured otherwise: 0.05 is 5 points of 100."""
    max_task_loss: float | None = None
    """Of every single task; None looks at relations, and at the tasks that are named."""
    named: Mapping[str, float] = field(default_factory=dict)
    """Relation, kind of metric or task to what may be lost there."""
    undecided: Outcome = Outcome.UNDECIDED
    """What an undecided check counts as."""

    def allowed(self, reading: JudgedReading) -> float | None:
        """Return what a reading may have lost; None where it is not looked at."""
        own = reading.tasks[0] if reading.scope == "task" else reading.relation
        if own in self.named:
            return self.named[own]
        if reading.scope == "task":
            return self.max_task_loss
        return self.named.get(reading.kind, self.max_loss)


@dataclass(frozen=True, slots=True)
class Check:
    """One reading against its rule."""

    subject: str
    reading: str
    outcome: Outcome
    sentence: str


def judged(subjects: Sequence[Subject], lights: Mapping[str, str]) -> tuple[JudgedSubject, ...]:
    """Return what the verdicts of a study rest on.

    Args:
        subjects: Its variants, and recipes with several seeds.
        lights: Name of each to the light of its verdict.
    """
    return tuple(
        JudgedSubject(
            subject.name,
            tuple(card.id for card in subject.cards),
            lights.get(subject.name, ""),
            tuple(
                _judged(scope, reading)
                for scope, readings in (("relation", subject.rows), ("task", subject.tasks))
                for reading in readings
            ),
        )
        for subject in subjects
    )


def _judged(scope: str, reading: Reading) -> JudgedReading:
    scale = reading.sign / unit_margin(reading.metric)

    def gain(mean: Any) -> Gain:
        ends = [None if end is None else scale * end for end in (mean.found.low, mean.found.high)]
        low, high = ends if scale > 0 else ends[::-1]
        return Gain(scale * mean.difference, low, high)

    return JudgedReading(
        scope,
        reading.relation.value,
        reading.metric.kind,
        reading.tasks,
        reading.item_count,
        gain(reading.mean),
        None if reading.can_lose is None else gain(reading.can_lose),
    )


def from_plain(subjects: Sequence[Mapping[str, Any]]) -> tuple[JudgedSubject, ...]:
    """Return what `plain_judged` wrote.

    Raises:
        KeyError, TypeError, ValueError: If it is something else, or a number is not finite: nothing compares with one.
    """

    def finite(found: Any) -> float:
        if not isfinite(value := float(found)):
            raise ValueError(f"{found} is no finite number")
        return value

    def gain(found: Mapping[str, Any] | None) -> Gain | None:
        if found is None:
            return None
        low, high = (None if found[end] is None else finite(found[end]) for end in ("low", "high"))
        return Gain(finite(found["value"]), low, high)

    def reading(found: Mapping[str, Any]) -> JudgedReading:
        everything = gain(found["all_cells"])
        if everything is None:
            raise TypeError("all_cells is missing")
        return JudgedReading(
            str(found["scope"]),
            str(found["relation"]),
            str(found["kind"]),
            tuple(found["tasks"]),
            int(found["item_count"]),
            everything,
            gain(found["can_lose"]),
        )

    return tuple(
        JudgedSubject(
            str(item["name"]), tuple(item["variants"]), str(item["light"]), tuple(map(reading, item["readings"]))
        )
        for item in subjects
    )


def plain_judged(subjects: Sequence[JudgedSubject]) -> list[dict[str, Any]]:
    """Return what the verdicts rest on as plain data."""
    return [asdict(subject) for subject in subjects]


def checks(
    subjects: Sequence[JudgedSubject], rule: Rule, *, before: Sequence[JudgedSubject] | None = None
) -> tuple[Check, ...]:
    """Check every subject by a rule.

    Args:
        subjects: What is to pass.
        rule: What may be lost.
        before: What passed before, with other numbers of the same names; then losses are taken from it, not from the
            base. The two are taken as independent, which is cautious where they were asked the same items.
    """
    earlier = None if before is None else {subject.name: subject for subject in before}
    found: list[Check] = []
    for subject in subjects:
        own = list(_checks(subject, rule, earlier))
        if not own:
            own = [Check(subject.name, "nothing", rule.undecided, "nothing was tested that the rule looks at")]
        found += own
    return tuple(found)


def _checks(subject: JudgedSubject, rule: Rule, earlier: Mapping[str, JudgedSubject] | None) -> Iterator[Check]:
    if subject.light == "untested":
        why = "untested: no test outside its own task could have shown a loss"
        yield Check(subject.name, "verdict", rule.undecided, why)
    for reading in subject.readings:
        allowed = rule.allowed(reading)
        if allowed is None:
            continue
        everything, able = reading.all_cells, reading.can_lose
        if earlier is not None:
            past = _same(earlier.get(subject.name), reading)
            if past is None:
                yield Check(subject.name, reading.words, rule.undecided, "was not measured before")
                continue
            everything = _less(everything, past.all_cells)
            able = _less(able, past.can_lose) if able and past.can_lose else None
        outcome, sentence = _outcome(everything, able, allowed)
        counted = rule.undecided if outcome is Outcome.UNDECIDED else outcome
        yield Check(subject.name, reading.words, counted, f"{sentence} on {reading.item_count:,} items")


def _outcome(everything: Gain, able: Gain | None, allowed: float) -> tuple[Outcome, str]:
    """Return what a gain comes to: failed where the whole interval lies below what is allowed, passed where above."""
    shown = f"{signed(everything.value)} {interval_words(everything.low, everything.high)}"
    may = f"a loss of {plain(allowed)}"
    if everything.high is not None and everything.high < -allowed:
        return Outcome.FAIL, f"{shown}: lost more than {plain(allowed)}"
    if everything.low is None or everything.high is None:
        return Outcome.UNDECIDED, f"{shown}: has no interval"
    if able is None:
        return Outcome.UNDECIDED, f"{shown}: cannot lose here, the base does no better than by knowing nothing"
    if able.low is None:
        return Outcome.UNDECIDED, f"{shown}: has no interval over the cells that could show a loss"
    if min(able.low, everything.low) > -allowed:
        if everything.high < 0:
            return Outcome.PASS, f"{shown}: lost, within the margin of {plain(allowed)}"
        return Outcome.PASS, f"{shown}: {may} is excluded"
    return Outcome.UNDECIDED, f"{shown}: {may} is neither shown nor excluded"


def _same(subject: JudgedSubject | None, reading: JudgedReading) -> JudgedReading | None:
    key = (reading.scope, reading.relation, reading.kind, reading.tasks)
    others = subject.readings if subject else ()
    return next((other for other in others if (other.scope, other.relation, other.kind, other.tasks) == key), None)


def _less(now: Gain, before: Gain) -> Gain:
    """Return the difference of two gains; its interval recovers variances from theirs (MOVER)."""
    if now.low is None or now.high is None or before.low is None or before.high is None:
        return Gain(now.value - before.value, None, None)
    value = now.value - before.value
    low = value - hypot(now.value - now.low, before.high - before.value)
    return Gain(value, low, value + hypot(now.high - now.value, before.value - before.low))


def overall(found: Sequence[Check]) -> Outcome:
    """Return what all checks come to together: one that fails fails, one that is undecided or none leaves it open."""
    outcomes = {check.outcome for check in found} or {Outcome.UNDECIDED}
    for outcome in (Outcome.FAIL, Outcome.UNDECIDED):
        if outcome in outcomes:
            return outcome
    return Outcome.PASS


def overview(found: Sequence[Check], *, most: int = 5) -> list[str]:
    """Return at most ``most`` lines: the outcome with its counts, then what fails or is undecided, then what passes."""
    counts = {outcome: sum(check.outcome is outcome for check in found) for outcome in Outcome}
    words = ", ".join(f"{count} {outcome}" for outcome, count in counts.items() if count)
    lines = [f"{overall(found)}: {words}"]
    order = (Outcome.FAIL, Outcome.UNDECIDED, Outcome.PASS)
    ranked = sorted(found, key=lambda check: order.index(check.outcome))
    shown = ranked if len(ranked) < most else ranked[: most - 2]
    lines += [f"{check.outcome}: {check.subject}: {check.reading}: {check.sentence}" for check in shown]
    if left := ranked[len(shown) :]:
        lines.append(f"and {len(left)} more: {named([f'{check.subject} {check.reading}' for check in left], most=3)}")
    return lines
