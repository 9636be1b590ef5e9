from collections.abc import Sequence

import pytest

from spillover.analysis.generalization import analyse
from spillover.analysis.verdicts import RULE, Change, change, interval_words, light, plain, signed
from spillover.records import BASE, Relation
from tests.analysis.made_scores import VARIANT, cell_scores, study, task

RELATIONS = {"home": Relation.IN_DOMAIN, "near": Relation.OUT_OF_DOMAIN, "far": Relation.CROSS_TASK}
WORSE, SAME, BETTER = (0, 0, 0, 0), (1, 0, 1, 0), (1, 1, 1, 1)


def scored(
    home: Sequence[float], near: Sequence[float], far: Sequence[float]
) -> dict[tuple[str, int], Sequence[float]]:
    return {("home", 0): home, ("near", 0): near, ("far", 0): far}


def test_a_verdict_says_each_relation_with_its_interval() -> None:
    results = study(scored(WORSE, BETTER, SAME), scored(BETTER, WORSE, SAME), RELATIONS)
    (verdict,) = analyse(results).verdicts
    assert verdict.sentence == (
        f"{VARIANT}: in-domain +1.00 [1.00, 1.00] accuracy, out-of-domain −1.00 [−1.00, −1.00] accuracy, "
        "cross-task ±0.00 [0.00, 0.00] accuracy: "
        "gains its task, loses out of domain, no clear change across tasks."
    )
    assert verdict.light == "mixed"
    assert verdict.rule == RULE


def test_no_clear_change_is_never_called_nothing_lost() -> None:
    results = study(scored(SAME, SAME, SAME), scored(SAME[::-1], SAME[::-1], SAME[::-1]), RELATIONS)
    (verdict,) = analyse(results).verdicts
    assert verdict.reading == "no clear change on its task, no clear change out of domain, no clear change across tasks"
    assert verdict.light == "unclear"
    assert "does not mean that nothing was lost" in verdict.rule


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ([Change.GAINED, Change.GAINED], "keeps"),
        ([Change.UNCLEAR, Change.UNCLEAR], "unclear"),
        ([Change.GAINED, Change.LOST, Change.UNCLEAR], "mixed"),
        ([Change.UNCLEAR, Change.LOST], "loses"),
    ],
)
def test_the_light_follows_the_rule(changes: list[Change], expected: str) -> None:
    assert light(changes) == expected


def test_an_interval_that_touches_zero_is_no_clear_change() -> None:
    assert change(0.0, 0.3) is Change.UNCLEAR
    assert change(-0.3, 0.0) is Change.UNCLEAR
    assert change(0.001, 0.3) is Change.GAINED
    assert change(-0.3, -0.001) is Change.LOST


@pytest.mark.parametrize(("label_words", "mentioned"), [((1, 1, 0, 1), True), ((0, 0, 0, 0), False)])
def test_label_words_across_tasks_are_mentioned(label_words: tuple[int, ...], mentioned: bool) -> None:
    cards = [task("home"), task("far", answers=())]
    relations = {"home": Relation.IN_DOMAIN, "far": Relation.CROSS_TASK}
    scores = {("home", 0): SAME, ("far", 0): SAME}
    extra = [
        cell_scores(BASE, "far", 0, (0, 0, 0, 0), "label_share"),
        cell_scores(VARIANT, "far", 0, label_words, "label_share"),
    ]
    (verdict,) = analyse(study(scores, scores, relations, tasks=cards, extra=extra)).verdicts
    remark = "; 75% of its answers to far (0 shots) are bare label words."
    assert verdict.sentence.endswith(remark) is mentioned


def test_a_variant_without_any_share_cannot_be_judged() -> None:
    scores = {("home", 0): (2.0, 3.0)}
    results = study(scores, scores, {"home": Relation.IN_DOMAIN}, tasks=[task("home", metric="loss")])
    with pytest.raises(ValueError, match=f"{VARIANT}: no tested task has a share"):
        analyse(results)


def test_numbers_are_written_with_true_signs() -> None:
    assert [signed(value) for value in (0.214, -0.05, 0.004, -0.004, 0)] == [
        "+0.21",
        "−0.05",
        "±0.00",
        "±0.00",
        "±0.00",
    ]
    assert [plain(value) for value in (0.5, -0.5, -0.001)] == ["0.50", "−0.50", "0.00"]


def test_an_end_close_to_zero_shows_its_side() -> None:
    assert interval_words(0.004, 0.21) == "[0.004, 0.210]"
    assert interval_words(-0.125, 0.0004) == "[−0.1250, 0.0004]"
    assert interval_words(-0.09, -0.012) == "[−0.09, −0.01]"
    assert interval_words(0, 0) == "[0.00, 0.00]"
