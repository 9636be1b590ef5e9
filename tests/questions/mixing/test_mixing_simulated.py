"""Whether the intervals of synergy hold their level, on simulated scores whose effects are known."""

import numpy as np
import pytest

from tests.questions.mixing.made_mixing import MadeArm, found, mixed_study

pytestmark = pytest.mark.long

STUDY_COUNT = 700
ITEM_COUNT = 150
SHARES = {"alone": 0.5, "with-helper": 0.58, "with-harmer": 0.35, "all": 0.62, "all-but-harmer": 0.55}
FACTS = {
    "alone": ("alone", {}),
    "with-helper": ("pair", {"added": ["helper"]}),
    "with-harmer": ("pair", {"added": ["harmer"]}),
    "all": ("all", {"added": ["helper", "harmer"]}),
    "all-but-harmer": ("all-but", {"added": ["helper"], "left_out": "harmer"}),
}
TRUTH = {
    (False, "helper"): SHARES["with-helper"] - SHARES["alone"],
    (False, "harmer"): SHARES["with-harmer"] - SHARES["alone"],
    (True, "harmer"): SHARES["all"] - SHARES["all-but-harmer"],
}


@pytest.fixture(scope="module")
def intervals():
    """Return the synergy estimates of each study.

    Half of an item's threshold is its own difficulty, which all arms share, and half is the arm's own luck: the sum is
    made uniform, so that an arm is right on its share of all items there could be.
    """
    draw = np.random.default_rng(7)
    difficulty = draw.uniform(size=(STUDY_COUNT, 1, ITEM_COUNT))
    luck = draw.uniform(size=(STUDY_COUNT, len(SHARES), ITEM_COUNT))
    total = difficulty + luck
    uniform = np.where(total < 1, total**2 / 2, 1 - (2 - total) ** 2 / 2)  # the distribution function of the sum
    right = (uniform < np.array(list(SHARES.values()))[:, None]).astype(np.float64)
    estimates = {key: [] for key in TRUTH}
    for study in right:
        arms = [MadeArm(name, *_split(name, scores)) for name, scores in zip(SHARES, study, strict=True)]
        for matrix in found(mixed_study({"home": np.zeros(ITEM_COUNT)}, arms), resample_count=1000).matrices:
            for other, entry in zip(matrix.others, matrix.entries[0], strict=True):
                estimates[matrix.is_leave_one_out, other].append(entry)
    return estimates


def _split(name, scores):
    kind, facts = FACTS[name]
    return kind, {"home": scores}, facts


def test_the_intervals_cover_the_true_effect_as_often_as_they_say(intervals):
    covered = {
        key: np.mean([entry.low <= TRUTH[key] <= entry.high for entry in entries]) for key, entries in intervals.items()
    }
    error = np.sqrt(0.95 * 0.05 / STUDY_COUNT)  # 0.008
    assert all(0.93 - error < share < 0.97 + error for share in covered.values()), covered
    assert 0.93 < np.mean(list(covered.values())) < 0.97


def test_the_estimates_are_unbiased_and_their_signs_are_those_of_the_effects(intervals):
    for key, entries in intervals.items():
        means = np.array([entry.mean for entry in entries])
        assert means.mean() == pytest.approx(TRUTH[key], abs=4 * means.std() / np.sqrt(STUDY_COUNT))
        assert np.mean(np.sign(means) == np.sign(TRUTH[key])) > 0.85
    harm = intervals[False, "harmer"]
    assert np.mean([entry.high < 0 for entry in harm]) > 0.6  # its effect is about 2.7 standard errors
