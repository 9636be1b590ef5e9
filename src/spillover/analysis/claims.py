"""The claims of the generalization paper (arXiv 2403.09162), each taken to the scores of a study."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from spillover.analysis.cells import Scores
from spillover.analysis.claim_cells import ClaimCells, Mean
from spillover.analysis.contrasts import Estimate, estimate
from spillover.analysis.drift import log_ratio
from spillover.records import Relation, StudyResults, VariantCard

MARGIN = 0.05
"""How far below its reference a score may lie that a claim calls level or harmless; our choice, on a scale of 0 to 1.

The paper rests on 250 items a cell, whose differences are uncertain by about as much (sheet genpower, 7).
"""


class Outcome(StrEnum):
    """What a study says of a claim."""

    HOLDS = "holds"
    FAILS = "fails"
    UNDECIDED = "undecided"
    NOT_TESTED = "not tested"


class Expected(StrEnum):
    """Where a claim places a mean."""

    ABOVE = "above zero"
    BELOW = "below zero"
    NOT_BELOW = f"not below −{MARGIN}"
    NOT_ABOVE = f"not above {MARGIN}"


@dataclass(frozen=True, slots=True)
class Part:
    """One mean that a claim makes a statement about."""

    statement: str
    expected: Expected
    cells: tuple[str, ...]
    """What enters the mean, in words, one entry a contrast."""
    estimate: Estimate | None
    """None where the study has no such cells."""

    @property
    def outcome(self) -> Outcome:
        """What the interval says of the statement; the whole of it has to lie on one side."""
        if self.estimate is None:
            return Outcome.NOT_TESTED
        return _outcome(self.expected, self.estimate.low, self.estimate.high)


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


MakePart = Callable[[str, Expected, Mean], Part]
"""A statement, where it places its mean, and the mean."""


def claims(results: StudyResults, scores: Scores, *, level: float) -> tuple[Claim, ...]:
    """Return the eight claims (sheet genpower, 1) with the means that this study has to say about them."""
    grid = ClaimCells(results, scores)

    def part(statement: str, expected: Expected, mean: Mean) -> Part:
        found = estimate(mean.contrasts, scores, level=level) if mean.contrasts else None
        return Part(statement, expected, tuple(mean.words), found)

    return (
        *_in_domain_claims(grid, part),
        *_claims_elsewhere(grid, part),
        _demonstrations_claim(grid, part),
        _drift_claim(grid, level),
    )


def _in_domain_claims(grid: ClaimCells, part: MakePart) -> tuple[Claim, ...]:
    return (
        Claim(
            1,
            "In-domain, the fine-tuned model at 0 shots beats the base with demonstrations, except on sentiment.",
            (
                part(
                    "plain variants at 0 shots less the base's best over shots",
                    Expected.ABOVE,
                    grid.tuned_less_base_best(lambda task: task.family != "sentiment"),
                ),
            ),
            _IN_DOMAIN_FIGURES,
        ),
        Claim(
            2,
            "Fine-tuned models gain little from demonstrations, while the base gains.",
            (
                part("the base's gain from demonstrations", Expected.ABOVE, grid.base_gain()),
                part("in-domain gain of plain variants less the base's", Expected.BELOW, grid.gain_less_base()),
            ),
            ("the base: xsum .20~ at 1 shot, .32~ at 4; socialqa .30~, .33~; multinli .38~ at 0 shots, .45~ at 7",),
        ),
        Claim(
            3,
            "More training rows do not always help: scores rise, then stay or fall.",
            (part("in-domain score at the largest size less that before", Expected.NOT_ABOVE, grid.last_size_gain()),),
            ("paws: 81.6 % at 2,000 rows, 93.2 % at 4,000, level or lower at 6,000",),
        ),
    )


def _claims_elsewhere(grid: ClaimCells, part: MakePart) -> tuple[Claim, ...]:
    """Return those on other domains, other tasks and other prompts."""
    return (
        Claim(
            4,
            "Out of domain, tuning on generation ends below the base, tuning on classification level with it or above.",
            (
                part(
                    "trained on generation, best over shots less the base's",
                    Expected.BELOW,
                    grid.best_out_of_domain(False),
                ),
                part("trained on classification, the same", Expected.NOT_BELOW, grid.best_out_of_domain(True)),
            ),
            _OUT_OF_DOMAIN_FIGURES,
        ),
        Claim(
            5,
            "Across tasks, tuning on classification ruins generation; tuning on generation leaves classification be.",
            (
                part("classification to generation, less the base", Expected.BELOW, grid.cross(True, False)),
                part("generation to classification, less the base", Expected.NOT_BELOW, grid.cross(False, True)),
            ),
            (
                "xsum at 4 shots: base .32~, after amazon, multinli or paws 0.00~",
                "multinli at 7 shots: base .45~, after xsum .58~, after amazon .31~",
            ),
        ),
        Claim(
            6,
            "Across tasks the wording of the prompt matters, more so for models tuned on classification.",
            (
                part(
                    "trained on classification: score in form 2 less form 1, less the base's",
                    Expected.ABOVE,
                    grid.form_gain(True),
                ),
                part(
                    "the same less that of models trained on generation",
                    Expected.ABOVE,
                    grid.form_gain(True).less(grid.form_gain(False)),
                ),
            ),
            (
                "xsum after amazon in form 2: .02~ at 1 shot, .18~ at 4; in form 1 0.00~",
                "xsum after socialqa in form 2: .10~ at 1 shot, .25~ at 4; in form 1 .08~",
            ),
        ),
    )


def _demonstrations_claim(grid: ClaimCells, part: MakePart) -> Claim:
    return Claim(
        7,
        "Fine-tuning with demonstrations (FTICL) helps generation generalize; classification gains less by it.",
        (
            part(
                "trained on generation, out of domain and across tasks: FTICL less plain",
                Expected.ABOVE,
                grid.fticl(False, (Relation.OUT_OF_DOMAIN, Relation.CROSS_TASK)),
            ),
            part(
                "trained on classification, in-domain: FTICL less plain",
                Expected.BELOW,
                grid.fticl(True, (Relation.IN_DOMAIN,)),
            ),
            part(
                "trained on classification, out of domain: FTICL less the base",
                Expected.ABOVE,
                grid.fticl_less_base(True, (Relation.OUT_OF_DOMAIN,)),
            ),
            part(
                "trained on classification, out of domain: FTICL less plain",
                Expected.BELOW,
                grid.fticl(True, (Relation.OUT_OF_DOMAIN,)),
            ),
            part(
                "trained on classification, generation across tasks: FTICL less plain",
                Expected.ABOVE,
                grid.fticl(True, (Relation.CROSS_TASK,), only_generation=True),
            ),
        ),
        (
            "xsum to peerread: plain .36~, FTICL .39~; socialqa to sciqa: plain .18~, FTICL .24~",
            "socialqa to xsum: plain .005~, FTICL .25~",
        ),
    )


_IN_DOMAIN_FIGURES = (
    "base's best / 2,000 rows at 0 shots: xsum .32/.32~, xlsum .28/.30~, socialqa .40/.78~, paws .58/.82, "
    "amazon .99/.98~, amazonfood .97/.96~, multinli .45/.85~, multinli2 .46/.78~",
)
_OUT_OF_DOMAIN_FIGURES = (
    "base's best / 2,000 rows: peerread .39/.37~, cnn .25/.21~, tweetqa .32/.15~, sciqa .32/.19~, sst2 .90/.88~, "
    "yelp .97/.96~, qqp .65/.60~, stsb .73/.70~, rte .57/.73~, gptnli .45/.78~",
)


def _drift_claim(grid: ClaimCells, level: float) -> Claim:
    """Compare drifts, which have no items to resample: the plain variants are what varies.

    FTICL variants of the same plain one go together, because they share its chance; a single plain variant decides
    nothing.
    """
    logs: dict[str, list[float]] = {}
    words = []
    for card, plain in grid.pairs():
        if card.drift and plain.drift:
            logs.setdefault(plain.id, []).append(math.log(_moved(card) / _moved(plain)))
            words.append(f"{card.id} {_moved(card):.2e}, {plain.id} {_moved(plain):.2e}")
    found = log_ratio([sum(own) / len(own) for own in logs.values()], level) if logs else None
    statement = "logarithm of FTICL's mean absolute weight change over plain's, over plain variants"
    part = Part(statement, Expected.BELOW, tuple(words), found)
    figures = ("at 2,000 rows: socialqa 7.95e-05 against 8.54e-05 (−0.07), xsum 8.03e-05 against 1.0e-04 (−0.22)",)
    return Claim(8, "FTICL moves the weights less far from the base.", (part,), figures)


def _moved(card: VariantCard) -> float:
    return float(card.drift["mean_absolute_difference"])


def _outcome(expected: Expected, low: float | None, high: float | None) -> Outcome:
    if low is None or high is None:
        return Outcome.UNDECIDED
    match expected:
        case Expected.ABOVE:
            holds, fails = low > 0, high < 0
        case Expected.BELOW:
            holds, fails = high < 0, low > 0
        case Expected.NOT_BELOW:
            holds, fails = low > -MARGIN, high < -MARGIN
        case Expected.NOT_ABOVE:
            holds, fails = high < MARGIN, low > MARGIN
    return Outcome.HOLDS if holds else Outcome.FAILS if fails else Outcome.UNDECIDED
