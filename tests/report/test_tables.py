import re
from dataclasses import replace

from spillover.questions import answered
from spillover.records import Relation
from spillover.report.tables import (
    CHOICE_METRICS,
    choice_rows,
    flat_rows,
    guessing_words,
    label_shares,
    limit_words,
    matrices,
)
from tests.report.made_results import made_results

RESULTS = made_results()
ANALYSIS = answered(RESULTS, resample_count=200)


def test_there_is_one_matrix_per_task_trained_on_with_rows_by_relation() -> None:
    siqa, amazon = matrices(RESULTS, ANALYSIS)
    assert (siqa.trained_on, siqa.variants) == ("siqa", ("sft/siqa/128/0", "fticl/siqa/128/0"))
    assert [group.relation for group in siqa.groups] == list(Relation)[:3]
    assert [[(row.tested_on, row.condition) for row in group.rows] for group in amazon.groups] == [
        [("amazon", "0"), ("amazon", "2")],
        [("nyt", "0"), ("nyt", "2")],
        [(name, shots) for name in ("siqa", "narrativeqa", "snli") for shots in ("0", "2")],
    ]


def test_a_star_and_a_tint_follow_the_numbers() -> None:
    for matrix in matrices(RESULTS, ANALYSIS):
        for row in (row for group in matrix.groups for row in group.rows):
            for cell in row.cells:
                adjusted = re.search(r"after Holm ([\d.e-]+)", cell.title)
                assert cell.is_clear == (adjusted is not None and float(adjusted[1]) < 0.05)
                if cell.tint != "flat":
                    assert cell.tint.startswith("down" if cell.difference.startswith("−") else "up")


def test_rows_show_majority_accuracy_beside_accuracy_only() -> None:
    rows = [row for group in matrices(RESULTS, ANALYSIS)[0].groups for row in group.rows]
    assert {(row.metric, row.majority) for row in rows} == {("ROUGE-L", ""), ("accuracy", "0.53"), ("accuracy", "0.36")}


def test_guessing_at_random_takes_the_place_of_the_majority_where_rows_have_their_own_options() -> None:
    task = next(task for task in RESULTS.tasks if task.name == "amazon")
    assert guessing_words(task) == "0.53"
    assert guessing_words(replace(task, majority_accuracy=None, chance_accuracy=0.25)) == "0.25 (chance)"
    assert guessing_words(replace(task, majority_accuracy=None, chance_accuracy=None)) == ""


def test_other_metrics_of_choices_stand_beside_one_another() -> None:
    rows = choice_rows(RESULTS, ANALYSIS)
    assert len(rows) == 3 * 3 * 2
    for row in rows:
        assert [item.metric for item in row.metrics if item] == list(CHOICE_METRICS)


def test_label_shares_stand_side_by_side() -> None:
    rows = label_shares(RESULTS, ANALYSIS)
    assert [(row.tested_on, row.condition) for row in rows] == [
        ("siqa", "0"),
        ("siqa", "2"),
        ("narrativeqa", "0"),
        ("narrativeqa", "2"),
    ]
    for row in rows:
        base, *_, amazon = row.shares
        assert base == 0
        assert amazon is not None
        assert amazon > 0.7


def test_nested_facts_become_flat_rows() -> None:
    facts = {"versions": {"torch": "2.13.0"}, "seeds": [0, 1], "none": None, "empty": {}}
    assert list(flat_rows(facts)) == [
        ("versions · torch", "2.13.0"),
        ("seeds", "[0, 1]"),
        ("none", "null"),
        ("empty", "{}"),
    ]


def test_tasks_with_too_few_items_to_ever_show_that_nothing_was_lost_are_named() -> None:
    shares = {task.name for task in RESULTS.tasks if RESULTS.metrics[task.primary_metric].unit == "share"}
    few = next(name for name in shares if next(t for t in RESULTS.tasks if t.name == name).item_count < 149)
    words = limit_words(RESULTS)
    assert f"{few} (" in words
    assert "less than 0.02 was lost" in words
    assert words.endswith("it takes 149 at least, where nothing changes at all.")
    assert limit_words(replace(RESULTS, margin=0.9)) == ""


def test_of_free_text_guessing_is_one_text_for_all_items() -> None:
    task = next(task for task in RESULTS.tasks if not task.answers)
    assert (
        guessing_words(replace(task, constant_scores={task.primary_metric: 0.125, "other": 0.9})) == "0.12 (one text)"
    )
    assert "one text" not in guessing_words(replace(task, constant_scores={"other": 0.9}))
