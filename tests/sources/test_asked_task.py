from dataclasses import replace

import pytest
import torch

from spillover.config import load_study
from spillover.lint.reach import margin_reach
from spillover.questions import answered
from spillover.records import BASE, CommonAnswer, Relation
from spillover.report.write import write_report
from spillover.sources.asked_task import CHECKED_COUNT, AskedModel
from spillover.steps.predict import Predict
from spillover.steps.workshop import Workshop
from spillover.store.store import Store
from spillover.study.cell_items import read_cell_items
from spillover.study.cells import cell_name, find_score
from spillover.study.plan import expected_cost
from spillover.study.results import collect
from spillover.study.runner import missing_steps, run_study
from tests.sources.made_source import AskedLength, Length
from tests.study.made_study import make_study
from tests.study.test_runner import Quiet

WORDS = ("a", "of", "the", "then", "there")
VARIANT = "sft/first/16/0"


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    torch.set_num_threads(1)
    path = make_study(tmp_path_factory.mktemp("sources"), more="test_on: [first]")
    path.write_text(path.read_text().replace("[first, words]", "first"))
    study = load_study(path, cache=path.parent / "cache", notice=lambda line: None)
    study = replace(study, cell_sources=(*study.cell_sources, (AskedLength(task=Length(WORDS), limit=9),)))
    store = Store(tmp_path_factory.mktemp("store"))
    assert not run_study(study, store, Workshop(store), Quiet()).failed
    return study, store


def test_a_task_of_another_source_is_in_the_results_and_the_report_like_any_other(finished, tmp_path):
    study, store = finished
    results = collect(study, store, command="spillover run study.yaml")
    assert [card.name for card in results.tasks] == ["first", "length"]
    assert results.relations[VARIANT, "length"] is Relation.CROSS_TASK
    assert results.skipped == ("length: in letters, not in tokens",)
    analysis = answered(results, resample_count=50)
    found = {(row.variant, row.tested_on): row for row in analysis.measurements if row.metric == "close"}
    assert found[BASE, "length"].value == 1
    assert found[VARIANT, "length"].value == pytest.approx((1 / 2 + 4) / 5)
    assert results.item_seconds["length"] >= 0
    page = write_report(results, analysis, tmp_path / "report")[0].read_text()
    assert "close" in page
    assert not missing_steps(study, store)


def test_its_items_are_shown_and_compared_by_what_its_own_steps_say_of_them(finished):
    study, store = finished
    results = collect(study, store, command="spillover run study.yaml")
    (change,) = [row for row in results.changes if (row.variant, row.cell.tested_on) == (VARIANT, "length")]
    (lost,) = change.regressions
    assert (change.metric, change.gain_count) == ("close", 0)
    assert (lost.item.prompt, lost.base.text, lost.variant.text, lost.variant.score) == (
        "a?",
        "1 letters",
        "2 letters",
        0.5,
    )
    step = find_score(study, f"{VARIANT}:length")
    assert cell_name(study, step) == f"{VARIANT}:length:0"
    shown = read_cell_items(study, store, step)
    assert [(item.asked.target, item.variant.text) for item in shown.items][:2] == [
        ("1", "2 letters"),
        ("2", "2 letters"),
    ]
    assert results.common_answers[BASE, step.predictions.cell] == CommonAnswer("1", 0.2)


def test_plan_and_margin_count_it(finished):
    study, store = finished
    reach = margin_reach(study, Workshop(store))
    assert {task.name: task.unit_count for task in reach.tasks} == {"first": 10, "length": 5}
    scores = [step for step in study.scores if step.predictions.cell.tested_on == "length"]
    work = {step.key: 1.0 for step in scores}
    assert expected_cost(scores, work, Workshop(store), speed=None).keys() == {"length-score"}
    assert study.resolved()["test_on"] == ["first", "length"]
    assert study.resolved()["test_limit"] == {"first": 10, "length": 9}


def test_cells_come_source_by_source_and_steps_model_by_model(finished):
    study, _ = finished
    models = [BASE, *(step.variant for step in study.models)]
    names = [(step.predictions.cell.tested_on, step.predictions.model) for step in study.scores]
    assert names == [*(("first", name) for name in models for _ in range(2)), *(("length", name) for name in models)]
    asked = [step.predictions.model for step in study.steps if hasattr(step, "predictions")]
    assert asked == sorted(asked, key=models.index)


@pytest.mark.parametrize(
    ("precision", "is_variant", "count"), [("float32", True, 0), ("bfloat16", True, CHECKED_COUNT)]
)
def test_items_are_also_computed_exactly_at_the_largest_shot_count_alone(finished, precision, is_variant, count):
    study, _ = finished
    variant = study.models[0] if is_variant else None
    steps = study.test_on[0].scores(AskedModel(study.base, variant, precision, ()))
    assert all(isinstance(step.predictions, Predict) for step in steps)
    assert [step.predictions.checked_count for step in steps] == [0, count]
    base = study.test_on[0].scores(AskedModel(study.base, None, precision, ()))
    assert [step.predictions.checked_count for step in base] == [0, CHECKED_COUNT]
