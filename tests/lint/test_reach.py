import json

from spillover.config import load_study
from spillover.lint.reach import Reach, margin_reach
from spillover.statistics.power import TaskLimit, fewest_items, limits
from spillover.steps.workshop import Workshop
from spillover.store.store import Store
from tests.study.made_study import make_study


def reach_of(path):
    study = load_study(path, cache=path.parent / "cache", notice=lambda line: None)
    return margin_reach(study, Workshop(Store(path.parent / "store")))


def test_a_task_has_the_rows_that_are_asked_and_could_have_those_there_are(tmp_path):
    # 12 test rows each, of which 10 are asked. (1 - 0.25) ** 11 = 0.042, (1 - 0.25) ** 10 = 0.056.
    reach = reach_of(make_study(tmp_path, more="margin: 0.25"))
    assert reach.tasks == tuple(TaskLimit(name, 10, 11, False) for name in ("first", "second", "words"))
    assert reach.test_limits == {"first": 11, "second": 11, "words": 11}
    assert reach.mend == "raise test_limit to 11"
    enough = reach_of(make_study(tmp_path / "enough", more="margin: 0.26"))
    assert [(task.fewest, task.can_show) for task in enough.tasks] == [(10, True)] * 3
    assert not enough.short


def test_rows_of_one_source_count_once_and_the_limit_that_would_do_counts_rows(tmp_path):
    path = make_study(tmp_path, more="margin: 0.46")  # 0.54 ** 5 = 0.046, 0.54 ** 4 = 0.085
    rows = [json.loads(line) for line in (tmp_path / "first.jsonl").read_text().splitlines()]
    lines = [json.dumps({**row, "book": f"book {index // 3}"}) for index, row in enumerate(rows)]
    (tmp_path / "first.jsonl").write_text("\n".join(lines) + "\n")
    suite = tmp_path / "made.yaml"
    suite.write_text(suite.read_text().replace("{pool: first.jsonl}", "{pool: first.jsonl}\n    group: book"))
    path.write_text(path.read_text().replace("test_limit: 10", "test_limit: {mood: 4, echo: 5}"))
    reach = reach_of(path)
    study = load_study(path, cache=tmp_path / "cache", notice=lambda line: None)
    workshop = Workshop(Store(tmp_path / "store"))
    test = study.scores[0].predictions.data.rows(workshop).test
    books = len({row.group for row in test})
    assert books < 5 < len(test)
    assert {task.name: task.unit_count for task in reach.tasks} == {
        "first": len({row.group for row in test[:4]}),
        "second": 4,
        "words": 5,
    }
    assert reach.test_limits == {"second": 5}
    assert reach.mend == (
        "raise test_limit to 5 (second); test on more tasks of the kind of first, whose rows are too few in all"
    )


def test_a_task_without_a_share_to_lead_it_is_left_out(tmp_path):
    path = make_study(tmp_path)
    suite = tmp_path / "made.yaml"
    suite.write_text(suite.read_text().replace("[up, down]", "[up, down]\n    metrics: [brier, accuracy]"))
    assert [task.name for task in reach_of(path).tasks] == ["words"]


def test_the_tasks_that_are_too_small_are_named_with_their_items():
    found = Reach(0.02, limits({"siqa": 80, "mmlu": 149}, 0.02), {"siqa": 160})
    assert found.sentence == (
        "siqa (80 independent items) can never show that less than 0.02 was lost: 149 could, if nothing changed; "
        "margin 0.05 takes 59"
    )
    # 0.05 ** (1 / 80) = 0.96325
    assert found.mend == "raise test_limit to 160; or widen margin to 0.037 at least"
    assert fewest_items(0.037) == 80
    many = Reach(0.05, limits({"z": 12, **dict.fromkeys("abcdefg", 24)}, 0.05), {})
    assert many.sentence == (
        "z (12 independent items), a, b, c, d, e and 2 more (24) can never show that less than 0.05 was lost: 59 "
        "could, if nothing changed"
    )


def test_where_every_task_is_large_enough_one_sentence_says_so():
    found = Reach(0.02, limits({"siqa": 1954, "mmlu": 149}, 0.02), {})
    assert found.sentence == "every tested task has the 149 independent items that showing it takes at least"


def test_no_margin_is_proposed_that_one_would_not_ship_by():
    # 29 items can show 0.099, 28 only 0.102.
    assert "widen margin to 0.099" in Reach(0.02, limits({"siqa": 29}, 0.02), {"siqa": 149}).mend
    assert Reach(0.02, limits({"siqa": 28}, 0.02), {"siqa": 149}).mend == "raise test_limit to 149"
