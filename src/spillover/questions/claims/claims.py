"""The claims of the generalization paper (arXiv 2403.09162), each taken to the scores of a study."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from spillover.analysis.drift_pairs import drift_pairs, log_ratio
from spillover.questions.claims.cells import ClaimCells, Means, is_not_sentiment, is_sentiment
from spillover.questions.claims.words import CLAIMS, MARGIN, NO_GAIN, ClaimWords, Expected, Statement
from spillover.records import Relation, StudyResults
from spillover.statistics.cells import Scores
from spillover.statistics.contrasts import Estimate, Known, known
from spillover.statistics.picked import lowest_of

PAPER_SUITES = ("genpower", "pocket")
"""Suites with the paper's families and relations; of others its claims say nothing."""


class Outcome(StrEnum):
    """What a study says of a claim."""

    HOLDS = "holds"
    FAILS = "fails"
    UNDECIDED = "undecided"
    NOT_TESTED = "not tested"


@dataclass(frozen=True, slots=True)
class Part:
    """One mean that a claim makes a statement about, of one kind of metric."""

    statement: str
    kind: str
    """What the scores measure, see `MetricCard.kind`; empty where there are none."""
    expected: Expected
    cells: tuple[str, ...]
    """What enters the mean, in words, one entry a contrast."""
    estimate: Estimate | None
    """None where the study has no such cells."""
    holds_for: str
    """What else than was seen the interval holds for: ``items``, ``items and seeds (3)``; empty without one."""
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Claim:
    """A claim of the paper and what this study says of it."""

    number: int
    """In the order of the paper's discussion."""
    sentence: str
    parts: tuple[Part, ...]
    paper: tuple[str, ...] = ()
    """The paper's own figures; those marked ~ are read off a plot, within about 0.05."""

    @property
    def outcome(self) -> Outcome:
        """What all parts have in common; one that fails makes the claim fail, else they are undecided together."""
        outcomes = {part.outcome for part in self.parts}
        if Outcome.FAILS in outcomes:
            return Outcome.FAILS
        return outcomes.pop() if len(outcomes) == 1 else Outcome.UNDECIDED


@dataclass(frozen=True, slots=True)
class _Found:
    """What is known of one mean, before it is judged."""

    kind: str
    words: tuple[str, ...]
    estimate_at: Callable[[float], Estimate]
    """The mean with its interval at a level."""
    has_items: bool = True
    """False of weights, which no items are asked of."""

    def holds_for(self, estimate: Estimate) -> str:
        """Return what its interval holds for."""
        over = [
            *(["items"] if self.has_items else []),
            *([f"seeds ({estimate.seed_count})"] * (estimate.seed_count > 1)),
        ]
        return " and ".join(over) if estimate.low is not None else ""


def claims(results: StudyResults, scores: Scores, *, level: float) -> tuple[Claim, ...]:
    """Return the eight claims (sheet genpower, 1) with what this study says of each; none of other suites' studies.

    A statement is judged for each kind of metric apart. It holds where the interval of its mean lies wholly where the
    claim places it. A claim holds where all of its statements do; it fails where one does, so that with many
    statements one of them would fail by chance: therefore a statement fails only where its interval at the level that
    all of the claim's keep together (Bonferroni) lies wholly elsewhere.
    """
    if results.provenance.get("suite") not in PAPER_SUITES:
        return ()
    found = _all_found(results, ClaimCells(results, scores), scores)
    return tuple(_claim(words, found[words.number], level) for words in CLAIMS)


def _all_found(results: StudyResults, grid: ClaimCells, scores: Scores) -> Mapping[int, Sequence[Sequence[_Found]]]:
    """Return by claim, for each of its statements in order, what is known of its mean in every kind of metric."""
    elsewhere = (Relation.OUT_OF_DOMAIN, Relation.CROSS_TASK)
    means: dict[int, list[Means]] = {
        1: [grid.tuned_less_base_best(is_not_sentiment), grid.tuned_less_base_best(is_sentiment)],
        2: [grid.base_gain(), grid.tuned_gain()],
        4: [
            grid.best_out_of_domain(False, lambda _: True),
            grid.best_out_of_domain(True, is_sentiment),
            grid.best_out_of_domain(True, is_not_sentiment),
        ],
        5: [
            grid.cross(True, False),
            grid.cross_scores(of_label_words=False),
            grid.cross_scores(of_label_words=True),
            grid.cross(False, True),
        ],
        6: [grid.form_gain(), grid.form_gain_less_generation()],
        7: [
            grid.fticl(False, elsewhere),
            grid.fticl(True, (Relation.IN_DOMAIN,)),
            grid.fticl_less_base(True, (Relation.OUT_OF_DOMAIN,)),
            grid.fticl(True, (Relation.OUT_OF_DOMAIN,)),
            grid.fticl(True, (Relation.CROSS_TASK,), only_generation=True),
        ],
    }
    found: dict[int, Sequence[Sequence[_Found]]] = {
        number: [
            [_Found(kind, tuple(mean.words), known(mean.contrasts, scores).estimate) for kind, mean in own.items()]
            for own in of_claim
        ]
        for number, of_claim in means.items()
    }
    return {**found, 3: [_least_step(grid, scores)], 8: [_moved(results, grid)]}


def _least_step(grid: ClaimCells, scores: Scores) -> list[_Found]:
    """Return the step in size that gains least, of all tasks and kinds of metric: one is all that the claim needs."""
    means = grid.size_steps()
    if not means:
        return []
    steps = [known(mean.contrasts, scores) for mean in means]
    parts = [step.confidence for step in steps if step.confidence is not None]
    chosen = Known(
        min(step.mean for step in steps),
        sum(step.contrast_count for step in steps),
        lowest_of(parts) if len(parts) == len(steps) else None,
        "; ".join(dict.fromkeys(step.note for step in steps if step.note)),
        min(step.seed_count for step in steps),
    )
    return [_Found("", tuple(text for mean in means for text in mean.words), chosen.estimate)]


def _moved(results: StudyResults, grid: ClaimCells) -> list[_Found]:
    """Return how FTICL's drift compares with plain's; weights have no items, so that training seeds are what varies."""
    fticl = {card.id for card in grid.with_demonstrations}
    pairs = [pair for pair in drift_pairs(results) if pair.variant in fticl]
    words = tuple(f"{pair.variant} {pair.ratio:.3f} times {pair.plain_variant}" for pair in pairs)
    return [_Found("", words, lambda level: log_ratio(pairs, level), has_items=False)] if pairs else []


def _claim(words: ClaimWords, found: Sequence[Sequence[_Found]], level: float) -> Claim:
    tested = sum(map(len, found))
    parts = [
        part
        for statement, own in zip(words.statements, found, strict=True)
        for part in (_judged(statement, own, tested, level) if own else [_untested(statement)])
    ]
    return Claim(words.number, words.sentence, tuple(parts), words.figures)


def _untested(statement: Statement) -> Part:
    return Part(statement.words, "", statement.expected, (), None, "", Outcome.NOT_TESTED)


def _judged(statement: Statement, found: Sequence[_Found], tested: int, level: float) -> list[Part]:
    together = 1 - (1 - level) / tested
    parts = []
    for item in found:
        estimate, wider = item.estimate_at(level), item.estimate_at(together)
        outcome = _outcome(statement.expected, estimate, wider)
        where, over = statement.expected, item.holds_for(estimate)
        parts.append(Part(statement.words, item.kind, where, item.words, estimate, over, outcome))
    return parts


def _outcome(expected: Expected, estimate: Estimate, wider: Estimate) -> Outcome:
    """Return whether a statement holds by its interval, or fails by that of all the claim's statements together."""
    low, high, least, most = estimate.low, estimate.high, wider.low, wider.high
    if low is None or high is None or least is None or most is None:
        return Outcome.UNDECIDED
    match expected:
        case Expected.ABOVE:
            holds, fails = low > 0, most < 0
        case Expected.BELOW:
            holds, fails = high < 0, least > 0
        case Expected.LEVEL:
            holds, fails = low > -MARGIN and high < MARGIN, most < -MARGIN or least > MARGIN
        case Expected.NOT_BELOW:
            holds, fails = low > -MARGIN, most < -MARGIN
        case Expected.NOT_ABOVE:
            holds, fails = high < MARGIN, least > MARGIN
        case Expected.NEAR_ONE:
            holds, fails = low > 1 - MARGIN, most < 1 - MARGIN
        case Expected.NO_GAIN:
            holds, fails = low <= 0 and high < NO_GAIN, least > 0
    return Outcome.HOLDS if holds else Outcome.FAILS if fails else Outcome.UNDECIDED
