"""The words of the generalization paper's eight claims: their statements, where each places its mean, and figures."""

from dataclasses import dataclass
from enum import StrEnum

MARGIN = 0.05
"""What a claim calls level, little, harmless or near may be off by; our choice, on a scale of 0 to 1.

The paper rests on 250 items a cell, whose differences are uncertain by about as much (sheet genpower, 7).
"""

NO_GAIN = 0.02
"""A step in size that gains less has stayed: five of the paper's 250 items, and what counts as nothing lost."""


class Expected(StrEnum):
    """Where a claim places a mean."""

    ABOVE = "above zero"
    BELOW = "below zero"
    LEVEL = f"within ±{MARGIN}"
    NOT_BELOW = f"not below −{MARGIN}"
    NOT_ABOVE = f"not above {MARGIN}"
    NEAR_ONE = f"not below {1 - MARGIN}"
    NO_GAIN = f"below {NO_GAIN} and not clearly above zero"


@dataclass(frozen=True, slots=True)
class Statement:
    """One mean that a claim says something of."""

    words: str
    expected: Expected


@dataclass(frozen=True, slots=True)
class ClaimWords:
    """A claim, what it is tested by, and what the paper found."""

    number: int
    """In the order of the paper's discussion."""
    sentence: str
    statements: tuple[Statement, ...]
    figures: tuple[str, ...]
    """The paper's own; those marked ~ are read off a plot, within about 0.05."""


CLAIMS = (
    ClaimWords(
        1,
        "In-domain, the fine-tuned model at 0 shots beats the base with demonstrations; on sentiment it does not.",
        (
            Statement("plain at 0 shots less the base's best over shots, all but sentiment", Expected.ABOVE),
            Statement("the same on sentiment", Expected.NOT_ABOVE),
        ),
        (
            "base's best / 2,000 rows at 0 shots: xsum .32/.32~, xlsum .28/.30~, socialqa .40/.78~, paws .58/.82, "
            "amazon .99/.98~, amazonfood .97/.96~, multinli .45/.85~, multinli2 .46/.78~",
        ),
    ),
    ClaimWords(
        2,
        "Fine-tuned models gain little or nothing from demonstrations, while the base gains.",
        (
            Statement("the base's gain from the most demonstrations", Expected.ABOVE),
            Statement("in-domain gain of plain variants from the most demonstrations", Expected.NOT_ABOVE),
        ),
        ("the base: xsum .20~ at 1 shot, .32~ at 4; socialqa .30~, .33~; multinli .38~ at 0 shots, .45~ at 7",),
    ),
    ClaimWords(
        3,
        "More training rows do not always help: some step in size gains nothing.",
        (Statement("in-domain gain of the step in size that gains least", Expected.NO_GAIN),),
        ("paws: 81.6 % at 2,000 rows, 93.2 % at 4,000, level or lower at 6,000",),
    ),
    ClaimWords(
        4,
        "Out of domain, tuning on generation ends below the base, tuning on classification level with it on sentiment "
        "and above it elsewhere.",
        (
            Statement("trained on generation, best over shots less the base's", Expected.BELOW),
            Statement("trained on classification, the same on sentiment", Expected.LEVEL),
            Statement("trained on classification, the same elsewhere", Expected.ABOVE),
        ),
        (
            "base's best / 2,000 rows: peerread .39/.37~, cnn .25/.21~, tweetqa .32/.15~, sciqa .32/.19~, "
            "sst2 .90/.88~, yelp .97/.96~, qqp .65/.60~, stsb .73/.70~, rte .57/.73~, gptnli .45/.78~",
        ),
    ),
    ClaimWords(
        5,
        "Across tasks, tuning on classification ruins generation, whose answers become bare label words; tuning on "
        "generation leaves classification be.",
        (
            Statement("classification to generation, less the base", Expected.BELOW),
            Statement("classification to generation, the score itself", Expected.NOT_ABOVE),
            Statement("classification to generation, share of bare label words", Expected.NEAR_ONE),
            Statement("generation to classification, less the base", Expected.NOT_BELOW),
        ),
        (
            "xsum at 4 shots: base .32~, after amazon, multinli or paws 0.00~",
            "multinli at 7 shots: base .45~, after xsum .58~, after amazon .31~",
        ),
    ),
    ClaimWords(
        6,
        "Across tasks the wording of the prompt matters: form 2, which nobody was trained on, does better than form 1, "
        "more so for models tuned on classification.",
        (
            Statement("trained on classification: score in form 2 less form 1, less the base's", Expected.ABOVE),
            Statement("the same less that of models trained on generation, in the same cells", Expected.ABOVE),
        ),
        (
            "xsum after amazon in form 2: .02~ at 1 shot, .18~ at 4; in form 1 0.00~",
            "xsum after socialqa in form 2: .10~ at 1 shot, .25~ at 4; in form 1 .08~",
        ),
    ),
    ClaimWords(
        7,
        "Fine-tuning with demonstrations (FTICL) helps generation generalize; classification loses by it in-domain, "
        "lies between base and plain out of domain, and costs generation less.",
        (
            Statement("trained on generation, out of domain and across tasks: FTICL less plain", Expected.ABOVE),
            Statement("trained on classification, in-domain: FTICL less plain", Expected.BELOW),
            Statement("trained on classification, out of domain: FTICL less the base", Expected.ABOVE),
            Statement("trained on classification, out of domain: FTICL less plain", Expected.BELOW),
            Statement("trained on classification, generation across tasks: FTICL less plain", Expected.ABOVE),
        ),
        (
            "xsum to peerread: plain .36~, FTICL .39~; socialqa to sciqa: plain .18~, FTICL .24~",
            "socialqa to xsum: plain .005~, FTICL .25~",
        ),
    ),
    ClaimWords(
        8,
        "FTICL moves the weights less far from the base.",
        (Statement("logarithm of FTICL's mean absolute weight change over plain's", Expected.BELOW),),
        ("at 2,000 rows: socialqa 7.95e-05 against 8.54e-05 (−0.07), xsum 8.03e-05 against 1.0e-04 (−0.22)",),
    ),
)
