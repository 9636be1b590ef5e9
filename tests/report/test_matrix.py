import re
from dataclasses import replace

from spillover.questions import answered
from spillover.records import Relation
from spillover.report.matrix import guessing_words, matrices
from spillover.report.section import Table
from tests.report.made_results import made_results, repeated

RESULTS = made_results()
ANALYSIS = answered(RESULTS, resample_count=200)


def made(count: int) -> dict[str, Table]:
    results = repeated(RESULTS, count)
    return matrices(results, answered(results, resample_count=20))


def test_few_variants_share_a_matrix_whose_cells_say_their_relation() -> None:
    (matrix,) = matrices(RESULTS, ANALYSIS).values()
    assert [column.title for column in matrix.columns[3:]] == [card.id for card in RESULTS.variants]
    assert [(row[0].text, row[1]) for row in matrix.rows] == [
        (task.name, shots) for task in RESULTS.tasks for shots in "02"
    ]
    for row in matrix.rows:
        for column, cell in zip(matrix.columns[3:], row[3:], strict=True):
            assert cell.small[-1] == RESULTS.relations[column.title, row[0].text]


def test_more_variants_have_a_matrix_per_task_trained_on_with_rows_by_relation() -> None:
    found = made(2)
    assert list(found) == ["siqa", "amazon"]
    names = [column.title for column in found["siqa"].columns[3:]]
    assert names == [f"{recipe}/siqa/128/0-{index}" for recipe in ("sft", "fticl") for index in range(2)]
    assert [group.heading for group in found["siqa"].groups] == list(Relation)[:3]
    assert [[(row[0].text, row[1]) for row in group.rows] for group in found["amazon"].groups] == [
        [("amazon", "0"), ("amazon", "2")],
        [("nyt", "0"), ("nyt", "2")],
        [(name, shots) for name in ("siqa", "narrativeqa", "snli") for shots in ("0", "2")],
    ]


def test_of_many_variants_each_has_a_row_under_its_recipe_with_the_same_cells() -> None:
    few, many = (made(count)["siqa"] for count in (2, 7))
    recipes = [f"{recipe}{index}" for recipe in ("sft", "fticl") for index in range(7)]
    assert [group.heading for group in many.groups] == ["", *recipes]
    assert [row[0] for row in many.groups[2].rows] == ["sft/siqa/128/0-1"]
    by_cell = {(row[0].text, row[1]): (row[2], row[3]) for row in few.rows}
    for column, base, first in zip(many.columns[1:], many.rows[0][1:], many.groups[1].rows[0][1:], strict=True):
        task, shots, _, _ = re.split(",? ", column.title)
        assert (base.text, (first.text, first.data)) == (
            by_cell[task, shots][0].text,
            (by_cell[task, shots][1].text, by_cell[task, shots][1].data),
        )


def test_a_star_and_a_tint_follow_the_numbers() -> None:
    for row in (row for matrix in matrices(RESULTS, ANALYSIS).values() for row in matrix.rows):
        for cell in row[3:]:
            adjusted = re.search(r"after Holm ([\d.e-]+)", cell.title)
            assert bool(cell.star) == (adjusted is not None and float(adjusted[1]) < 0.05)
            if cell.tint != "flat":
                assert cell.tint.startswith("down" if cell.text.startswith("−") else "up")


def test_a_cell_leads_the_pages_script_to_its_items() -> None:
    cards, tasks = [card.id for card in RESULTS.variants], [task.name for task in RESULTS.tasks]
    for matrix in matrices(RESULTS, ANALYSIS).values():
        for row in matrix.rows:
            for column, cell in zip(matrix.columns[3:], row[3:], strict=True):
                assert cards[int(cell.data["model"])] == column.title
                assert (tasks[int(cell.data["task"])], cell.data["shots"]) == (row[0].text, row[1])


def test_rows_show_what_guessing_scores_beside_accuracy_only() -> None:
    (matrix,) = matrices(RESULTS, ANALYSIS).values()
    assert {(row[0].small[0].split(",")[0], row[2].small) for row in matrix.rows} == {
        ("ROUGE-L", ()),
        ("accuracy", ("guessing 0.53",)),
        ("accuracy", ("guessing 0.36",)),
    }


def test_guessing_at_random_takes_the_place_of_the_majority_where_rows_have_their_own_options() -> None:
    task = next(task for task in RESULTS.tasks if task.name == "amazon")
    assert guessing_words(task) == "0.53"
    assert guessing_words(replace(task, majority_accuracy=None, chance_accuracy=0.25)) == "0.25 (chance)"
    assert guessing_words(replace(task, majority_accuracy=None, chance_accuracy=None)) == ""


def test_of_free_text_guessing_is_one_text_for_all_items() -> None:
    task = next(task for task in RESULTS.tasks if not task.answers)
    assert (
        guessing_words(replace(task, constant_scores={task.primary_metric: 0.125, "other": 0.9}))
        == "0.12 (the same text for all)"
    )
    assert "the same text" not in guessing_words(replace(task, constant_scores={"other": 0.9}))


def test_a_variant_that_was_not_asked_a_task_has_no_entry_and_takes_none_from_the_others() -> None:
    first, second = (card.id for card in RESULTS.variants if card.trained_on == "siqa")
    supervised = {"supervised": {"kind": "encoder"}}
    results = replace(
        RESULTS,
        variants=tuple(
            replace(card, recipe=supervised, is_classifier=True) if card.id == first else card
            for card in RESULTS.variants
        ),
        relations={pair: held for pair, held in RESULTS.relations.items() if pair != (first, "snli")},
        scores=tuple(row for row in RESULTS.scores if (row.variant, row.cell.tested_on) != (first, "snli")),
    )
    (before,) = matrices(RESULTS, ANALYSIS).values()
    (after,) = matrices(results, answered(results, resample_count=200)).values()
    place = [column.title for column in after.columns].index(first)
    other = [column.title for column in after.columns].index(second)
    assert len(before.rows) == len(after.rows)
    for old, new in zip(before.rows, after.rows, strict=True):
        assert new[0] == old[0]
        assert (new[place].text == "–") == (old[0].text == "snli")
        assert new[other].text == old[other].text
