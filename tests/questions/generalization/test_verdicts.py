from collections.abc import Sequence
from dataclasses import replace

import pytest

from spillover.analysis.readings import Change, Reading, Subject
from spillover.questions import answered
from spillover.questions.generalization.verdicts import TASK_FACTOR, is_tested, light, open_questions
from spillover.records import BASE, Cell, CommonAnswer, MetricCard, Relation, VariantCard
from spillover.statistics.inference import Inference
from spillover.statistics.means import Mean
from tests.analysis.made_scores import METRICS, VARIANT, cell_scores, share, study, task

RELATIONS = {"home": Relation.IN_DOMAIN, "near": Relation.OUT_OF_DOMAIN, "far": Relation.CROSS_TASK}
WORSE, SAME, BETTER = (0, 0, 0, 0) * 10, (1, 0, 1, 0) * 10, (1, 1, 1, 1) * 10
MARGIN = 0.02


def scored(
    home: Sequence[float], near: Sequence[float], far: Sequence[float]
) -> dict[tuple[str, int], Sequence[float]]:
    return {("home", 0): home, ("near", 0): near, ("far", 0): far}


def reading(
    relation: Relation, change: Change, *, loss: float | None = None, name: str = "", metric: MetricCard | None = None
) -> Reading:
    """A reading of which no more is set than a light looks at: what changed, and what loss is not excluded."""
    gain, p_value = {Change.GAINED: (0.1, 0.001), Change.LOST: (-0.1, 0.001)}.get(change, (0.0, 1.0))
    loss = {Change.KEPT: 0.01, Change.GAINED: -0.05}.get(change, 0.2) if loss is None else loss
    found = Inference(gain - 0.05, gain + 0.05, p_value, False, loss < MARGIN, largest_loss=loss)
    mean = Mean(0.5, 0.5 + gain, gain, (gain,), None, found, 0.0)
    card = metric or METRICS["accuracy"]
    can_lose = None if change is Change.IDLE else mean
    return Reading(relation, card, (name or relation.value,), 1, 100, mean, can_lose, False, p_value)


def subject(rows: Sequence[Reading], tasks: Sequence[Reading] | None = None) -> Subject:
    return Subject(
        "sft",
        (VariantCard(id=VARIANT, name="sft", trained_on="home", size=8, seed=0, recipe={}),),
        tuple(rows),
        tuple(tasks or rows),
    )


HOME, NEAR, FAR, ANY = Relation.IN_DOMAIN, Relation.OUT_OF_DOMAIN, Relation.CROSS_TASK, Relation.UNSTATED
GAINED, LOST, KEPT, UNCLEAR, IDLE = Change.GAINED, Change.LOST, Change.KEPT, Change.UNCLEAR, Change.IDLE


def test_a_verdict_says_each_relation_with_its_interval() -> None:
    results = study(scored(SAME, BETTER, WORSE), scored(BETTER, SAME, WORSE), RELATIONS)
    (verdict,) = answered(results).verdicts
    # Of far not one of 40 items changed: its upper bound is 1 - 0.025 ** (1 / 40) = 0.088, exactly; of the others half
    # did, so that the bound the other way is Clopper and Pearson's of 20 in 40.
    assert verdict.numbers[2] == "cross-task ±0.00 [−0.09, 0.09] accuracy"
    assert verdict.numbers[0].startswith("in-domain +0.50 [0.3")
    assert verdict.numbers[1].startswith("out-of-domain −0.50 [−0.6")
    assert verdict.reading == "gains its task, loses out of domain, can show nothing across tasks; " + (
        "negative transfer to near; far cannot lose here: "
        "the base is not shown to do better there than by knowing nothing"
    )
    assert verdict.worst.startswith("worst task near −0.50 [−0.6")
    assert verdict.worst.endswith("on 40 items")
    assert verdict.sentence == (
        f"{VARIANT}: {', '.join(verdict.numbers)}: {verdict.reading}; {verdict.worst}; {verdict.largest_loss}."
    )
    assert (verdict.light, verdict.negative_transfer, verdict.idle) == ("mixed", ("near",), ("far",))
    assert "less than 0.02 and every task less than 0.05" in verdict.rule


@pytest.mark.parametrize(("with_demonstrations", "said"), [(BETTER, ""), (SAME, ", though not in 1 of 2 cells")])
def test_a_gain_that_not_every_cell_has_is_said_to_be_one(with_demonstrations: Sequence[float], said: str) -> None:
    """A mean over shots may rise by one shot count alone."""
    base, tuned = {("home", 0): WORSE, ("home", 2): SAME}, {("home", 0): BETTER, ("home", 2): with_demonstrations}
    (verdict,) = answered(study(base, tuned, {"home": HOME})).verdicts
    assert verdict.reading.split(";")[0] == f"gains its task{said}"


def test_nothing_lost_is_said_only_where_enough_items_show_it() -> None:
    few, many = (1, 1, 1, 0) * 10, (1, 1, 1, 0) * 125
    (unclear,), (kept,) = (
        answered(study(scored(rows, rows, rows), scored(rows, rows, rows), RELATIONS)).verdicts for rows in (few, many)
    )
    assert unclear.reading == (
        "shows no clear change on its task, shows no clear change out of domain, shows no clear change across tasks"
    )
    assert unclear.light == "unclear"
    # 500 equal items: at most 1 - 0.05 ** (1 / 500) = 0.0060 differ, less than the margin; of 40 that is 0.072.
    assert unclear.largest_loss == "a loss of up to 0.07 on home is not excluded"
    # Of 149 items of which none changed: 0.98 ** 149 < 0.05.
    assert unclear.settle == "about 110 more items each of home, near, far would settle it"
    assert kept.reading == (
        "has lost nothing on its task (within 0.02), has lost nothing out of domain (within 0.02), "
        "has lost nothing across tasks (within 0.02)"
    )
    assert (kept.light, kept.settle) == ("keeps", "")
    assert kept.largest_loss == "a loss of up to 0.006 on home is not excluded"


def test_many_tasks_with_negative_transfer_are_counted() -> None:
    relations = {"home": Relation.IN_DOMAIN, **{f"task {index}": Relation.CROSS_TASK for index in range(5)}}
    base, own = ({(name, 0): rows for name in relations} for rows in (BETTER, WORSE))
    (verdict,) = answered(study(base, own, relations)).verdicts
    assert "negative transfer to task 0, task 1, task 2 and 2 more" in verdict.sentence
    assert verdict.negative_transfer == tuple(f"task {index}" for index in range(5))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ([GAINED, KEPT, GAINED], "keeps"),
        ([GAINED, KEPT, KEPT], "keeps"),
        ([GAINED, KEPT, IDLE], "keeps"),
        ([GAINED, KEPT, UNCLEAR], "unclear"),
        ([UNCLEAR, KEPT, KEPT], "unclear"),
        ([UNCLEAR, UNCLEAR, UNCLEAR], "unclear"),
        ([GAINED, IDLE, IDLE], "untested"),
        ([IDLE, IDLE, IDLE], "untested"),
        ([GAINED, LOST, UNCLEAR], "mixed"),
        ([IDLE, IDLE, LOST], "loses"),
        ([LOST, IDLE, IDLE], "loses"),
        ([KEPT, KEPT, LOST], "loses"),
    ],
)
def test_the_light_follows_the_rule(changes: list[Change], expected: str) -> None:
    rows = [reading(relation, change) for relation, change in zip((HOME, NEAR, FAR), changes, strict=True)]
    assert light(subject(rows), MARGIN) == expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [([KEPT], "untested"), ([GAINED], "untested"), ([KEPT, IDLE], "untested"), ([KEPT, KEPT], "keeps")],
)
def test_of_tasks_any_of_which_may_be_its_own_one_is_no_test_of_others(changes: list[Change], expected: str) -> None:
    tasks = [reading(ANY, change, name=f"t{index}") for index, change in enumerate(changes)]
    assert light(subject([reading(ANY, KEPT)], tasks), MARGIN) == expected


def test_one_task_stands_against_the_mean_of_its_relation() -> None:
    row = reading(FAR, KEPT)
    allowed, too_much = (
        [reading(FAR, KEPT, name="a"), reading(FAR, UNCLEAR, loss=loss, name="b")]
        for loss in (TASK_FACTOR * MARGIN - 1e-9, TASK_FACTOR * MARGIN)
    )
    assert light(subject([row], allowed), MARGIN) == "keeps"
    assert light(subject([row], too_much), MARGIN) == "unclear"
    assert [entry.tasks[0] for entry, _ in open_questions(subject([row], too_much), MARGIN)] == ["b"]
    lost = [reading(FAR, KEPT, name="a"), reading(FAR, LOST, name="b")]
    assert light(subject([row], lost), MARGIN) == "loses"
    assert light(subject([reading(FAR, GAINED)], lost), MARGIN) == "mixed"


def test_points_have_a_margin_of_their_own_size() -> None:
    bleu = MetricCard("BLEU", share, "points")
    assert light(subject([reading(FAR, KEPT, loss=1.9, metric=bleu)]), MARGIN) == "keeps"
    assert light(subject([reading(FAR, KEPT, loss=2.1, metric=bleu)]), MARGIN) == "unclear"


def test_the_own_task_is_no_test_of_others() -> None:
    assert not is_tested(subject([reading(HOME, KEPT)]))
    assert is_tested(subject([reading(HOME, KEPT), reading(NEAR, UNCLEAR)]))


@pytest.mark.parametrize(("label_words", "mentioned"), [((1, 1, 0, 1) * 10, True), (WORSE, False)])
def test_label_words_across_tasks_are_mentioned(label_words: tuple[int, ...], mentioned: bool) -> None:
    cards = [task("home"), task("far", answers=())]
    relations = {"home": Relation.IN_DOMAIN, "far": Relation.CROSS_TASK}
    scores = {("home", 0): SAME, ("far", 0): SAME}
    extra = [
        cell_scores(BASE, "far", 0, WORSE, "label_share"),
        cell_scores(VARIANT, "far", 0, label_words, "label_share"),
    ]
    (verdict,) = answered(study(scores, scores, relations, tasks=cards, extra=extra)).verdicts
    assert ("75% of its answers to far (0 shots) are bare label words" in verdict.reading) is mentioned


@pytest.mark.parametrize(
    ("majority", "base", "own", "mentioned"),
    [
        (0.5, 0.6, 0.95, True),
        (0.5, 0.6, 0.85, False),
        (0.5, 0.97, 0.95, False),  # the base does it too
        (0.92, 0.9, 0.95, False),  # the targets are nearly as alike
        (0.92, 0.9, 0.97, True),
        (None, 0.1, 0.95, True),  # of free text
    ],
)
def test_one_answer_to_nearly_everything_is_said(
    majority: float | None, base: float, own: float, mentioned: bool
) -> None:
    cards = [replace(task("far"), majority_accuracy=majority)]
    results = study({("far", 2): BETTER}, {("far", 2): BETTER}, {"far": Relation.CROSS_TASK}, tasks=cards)
    cell = Cell("far", 1, 2, 0)
    common = {(BASE, cell): CommonAnswer("no", base), (VARIANT, cell): CommonAnswer("yes", own)}
    (verdict,) = answered(replace(results, common_answers=common)).verdicts
    assert (f"answers 'yes' to {own:.0%} of far (2 shots)" in verdict.reading) is mentioned


def test_further_cells_with_one_answer_are_counted() -> None:
    relations = {"near": Relation.OUT_OF_DOMAIN, "far": Relation.CROSS_TASK}
    scores = {("near", 0): BETTER, ("far", 0): BETTER}
    common = {
        (VARIANT, Cell(name, 1, 0, 0)): CommonAnswer("yes", value) for name, value in (("near", 0.95), ("far", 1))
    }
    (verdict,) = answered(replace(study(scores, scores, relations), common_answers=common)).verdicts
    assert "answers 'yes' to 100% of far (0 shots), and one answer to nearly all of 1 more cell" in verdict.reading


def test_kinds_of_one_relation_are_told_apart_and_the_unit_is_said() -> None:
    cards = [task("a"), task("b", metric="loss")]
    relations = {"a": Relation.CROSS_TASK, "b": Relation.CROSS_TASK}
    base = {("a", 0): BETTER, ("b", 0): tuple(2.0 + 0.01 * index for index in range(40))}
    own = {("a", 0): BETTER, ("b", 0): tuple(3.0 + 0.02 * index for index in range(40))}
    (verdict,) = answered(study(base, own, relations, tasks=cards)).verdicts
    assert verdict.reading.startswith(
        "shows no clear change across tasks in accuracy, loses across tasks in loss; negative transfer to b"
    )
    assert verdict.worst.startswith("worst task b +1.19 [1.1")  # the mean of 1 + 0.01 * index
    assert " in loss on b is not excluded" in verdict.largest_loss
    assert verdict.light == "loses"


def test_a_difference_whose_interval_alone_excludes_zero_is_said_to_be_none_after_adjustment() -> None:
    # 1 gained and 8 lost of 40: p = 0.039 by itself, and 0.078 as one of two rows.
    base = (1,) * 30 + (0,) * 10
    own = (0,) * 8 + (1,) * 23 + (0,) * 9
    relations = {"near": Relation.OUT_OF_DOMAIN, "far": Relation.CROSS_TASK}
    results = study({("near", 0): base, ("far", 0): base}, {("near", 0): own, ("far", 0): base}, relations)
    analysis = answered(results)
    (verdict,) = analysis.verdicts
    assert analysis.relations[0].p_value == pytest.approx(0.0390625, rel=0.05)
    assert analysis.relations[0].adjusted_p_value == pytest.approx(2 * (analysis.relations[0].p_value or 0))
    assert verdict.numbers[0].endswith("accuracy (not after adjustment)")
    assert "shows no clear change out of domain" in verdict.reading
    assert [row.reading for row in analysis.relations] == ["no clear change (not after adjustment)", "no clear change"]
    assert verdict.light == "unclear"


def test_a_variant_without_any_tested_cell_cannot_be_judged() -> None:
    results = study({("home", 0): SAME}, {("home", 0): SAME}, {"home": Relation.IN_DOMAIN})
    untested = replace(
        results,
        variants=(
            *results.variants,
            VariantCard(id="other/home/8/0", name="other", trained_on="home", size=8, seed=0, recipe={}),
        ),
    )
    with pytest.raises(ValueError, match="other/home/8/0: no tested cell; cannot judge"):
        answered(untested)
