from collections.abc import Sequence

import pytest

from spillover.analysis.generalization import analyse
from spillover.analysis.readings import Change
from spillover.analysis.verdicts import RULE, light
from spillover.analysis.wording import interval_words, plain, signed
from spillover.records import BASE, Relation
from tests.analysis.made_scores import VARIANT, cell_scores, study, task

RELATIONS = {"home": Relation.IN_DOMAIN, "near": Relation.OUT_OF_DOMAIN, "far": Relation.CROSS_TASK}
WORSE, SAME, BETTER = (0, 0, 0, 0) * 10, (1, 0, 1, 0) * 10, (1, 1, 1, 1) * 10


def scored(
    home: Sequence[float], near: Sequence[float], far: Sequence[float]
) -> dict[tuple[str, int], Sequence[float]]:
    return {("home", 0): home, ("near", 0): near, ("far", 0): far}


def test_a_verdict_says_each_relation_with_its_interval() -> None:
    results = study(scored(WORSE, BETTER, SAME), scored(BETTER, WORSE, SAME), RELATIONS)
    (verdict,) = analyse(results).verdicts
    # Not one of 40 items leaves the rule: the exact upper bound of such items is 1 - 0.025 ** (1 / 40) = 0.088; each
    # may move the difference by up to 2 where all items moved, by up to 1 where none did.
    assert verdict.sentence == (
        f"{VARIANT}: in-domain +1.00 [0.82, 1.00] accuracy, out-of-domain −1.00 [−1.00, −0.82] accuracy, "
        "cross-task ±0.00 [−0.09, 0.09] accuracy: "
        "gains its task, loses out of domain, no clear change across tasks; negative transfer to near."
    )
    assert verdict.light == "mixed"
    assert verdict.negative_transfer == ("near",)
    assert verdict.rule == RULE.format(margin=0.02)


def test_nothing_lost_is_said_only_where_enough_items_show_it() -> None:
    few, many = SAME, SAME * 10
    (unclear,), (kept,) = (
        analyse(study(scored(rows, rows, rows), scored(rows, rows, rows), RELATIONS)).verdicts for rows in (few, many)
    )
    assert unclear.reading == "no clear change on its task, no clear change out of domain, no clear change across tasks"
    assert unclear.light == "unclear"
    # 400 equal items: at most 1 - 0.05 ** (1 / 400) = 0.0075 differ, less than the margin.
    assert kept.reading == (
        "nothing lost on its task (within 0.02), nothing lost out of domain (within 0.02), "
        "nothing lost across tasks (within 0.02)"
    )
    assert kept.light == "keeps"


def test_many_tasks_with_negative_transfer_are_counted() -> None:
    relations = {"home": Relation.IN_DOMAIN, **{f"task {index}": Relation.CROSS_TASK for index in range(5)}}
    base, own = ({(name, 0): rows for name in relations} for rows in (BETTER, WORSE))
    (verdict,) = analyse(study(base, own, relations)).verdicts
    assert "negative transfer to task 0, task 1, task 2 and 2 more" in verdict.sentence
    assert verdict.negative_transfer == tuple(f"task {index}" for index in range(5))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ([Change.GAINED, Change.GAINED], "keeps"),
        ([Change.GAINED, Change.KEPT], "keeps"),
        ([Change.GAINED, Change.UNCLEAR], "unclear"),
        ([Change.UNCLEAR, Change.UNCLEAR], "unclear"),
        ([Change.GAINED, Change.LOST, Change.UNCLEAR], "mixed"),
        ([Change.UNCLEAR, Change.LOST], "loses"),
        ([Change.KEPT, Change.LOST], "loses"),
    ],
)
def test_the_light_follows_the_rule(changes: list[Change], expected: str) -> None:
    assert light(changes) == expected


def test_an_interval_that_touches_zero_is_no_clear_change() -> None:
    assert change(0.0, 0.3) is Change.UNCLEAR
    assert change(-0.3, 0.0) is Change.UNCLEAR
    assert change(0.001, 0.3) is Change.GAINED
    assert change(-0.3, -0.001) is Change.LOST
    assert change(-0.01, 0.3, nothing_lost=True) is Change.KEPT
    assert change(-0.01, -0.001, nothing_lost=True) is Change.LOST
    assert change(None, None) is Change.UNCLEAR


@pytest.mark.parametrize(("label_words", "mentioned"), [((1, 1, 0, 1) * 10, True), (WORSE, False)])
def test_label_words_across_tasks_are_mentioned(label_words: tuple[int, ...], mentioned: bool) -> None:
    cards = [task("home"), task("far", answers=())]
    relations = {"home": Relation.IN_DOMAIN, "far": Relation.CROSS_TASK}
    scores = {("home", 0): SAME, ("far", 0): SAME}
    extra = [
        cell_scores(BASE, "far", 0, WORSE, "label_share"),
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
    assert interval_words(None, None) == "(no interval)"
