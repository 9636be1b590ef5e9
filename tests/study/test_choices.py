"""Options of each row, kinds of scoring, losses and flip floors through a whole study."""

import json

import pytest
import torch

from spillover.config import load_study
from spillover.errors import UserError
from spillover.questions import answered
from spillover.records import BASE
from spillover.steps.predict import Predict
from spillover.steps.workshop import Workshop
from spillover.store.store import Store
from spillover.study.results import collect
from spillover.study.runner import computed, missing_steps, run_study
from tests.study.made_study import make_study
from tests.study.test_runner import Quiet

OPTIONS_TASK = """
  quiz:
    family: mood
    domain: quiz
    answers: []
    sources: {pool: quiz.jsonl}
    columns: {text: text}
    options: choices
    target: answer
    metrics: [accuracy, brier]
    split: {demonstrations: 4, test: 12}
"""


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = make_study(tmp_path_factory.mktemp("choices"))
    with (path.parent / "made.yaml").open("a", encoding="utf-8") as suite:
        suite.write(OPTIONS_TASK)
    rows = [
        {"text": f"dog {index}", "choices": f"A. cat {index}\nB. a much longer cat", "answer": f"cat {index}"}
        for index in range(60)
    ]
    (path.parent / "quiz.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    only_one = path.read_text().replace("train_on: [first, words]", "train_on: [first]").split("  - {name: fticl")
    path.write_text(only_one[0] + only_one[1].partition("\n")[2] + "test_on: [first, quiz, words]\n")
    return path


def load(path, **changes):
    text = path.read_text() + "".join(f"{name}: {value}\n" for name, value in changes.items())
    changed = path.with_name("changed.yaml")
    changed.write_text(text)
    return load_study(changed, cache=path.parent / "cache", notice=lambda _: None)


@pytest.fixture(scope="module")
def finished(file, tmp_path_factory):
    torch.set_num_threads(1)
    study, store = load(file), Store(tmp_path_factory.mktemp("store"))
    assert not run_study(study, store, Workshop(store), Quiet()).failed
    return study, store


def test_options_of_each_row_are_asked_and_compared_by_nats_per_character(finished):
    study, store = finished
    step = next(step for step in study.scores if step.predictions.cell.tested_on == "quiz")
    assert step.is_length_normalised
    results = collect(study, store, command="spillover run")
    (card,) = (task for task in results.tasks if task.name == "quiz")
    assert (card.answers, card.majority_accuracy, card.chance_accuracy) == ((), None, 0.5)
    assert {scores.metric for scores in results.scores if scores.cell.tested_on == "quiz"} == {"accuracy", "brier"}


def test_the_losses_of_a_cell_sum_to_what_its_accuracy_lacks(finished):
    study, store = finished
    results = collect(study, store, command="spillover run")
    rows = [row for row in answered(results, resample_count=50).measurements if row.tested_on == "first"]
    for variant in {row.variant for row in rows}:
        for shots in (0, 2):
            found = {row.metric: row.value for row in rows if (row.variant, row.shots) == (variant, shots)}
            lost = found["label_prior_loss"] + found["format_loss"] + found["remaining_loss"]
            assert lost == pytest.approx(1 - found["accuracy"])


def test_in_float32_a_flip_floor_is_kept_for_the_base_at_every_tasks_largest_shot_count(finished):
    study, store = finished
    floors = collect(study, store, command="spillover run").flip_floors
    assert {(variant, cell.tested_on, cell.shots) for variant, cell in floors} == {
        (BASE, task, 2) for task in ("first", "quiz", "words")
    }
    for floor in floors.values():
        assert (floor.item_count, floor.flipped_count) == (4, 0)
        assert floor.largest_difference <= 1e-4


def test_another_kind_of_scoring_asks_again_only_where_each_row_has_its_own_options(finished, file):
    _, store = finished
    for kind in ("contextual", "pmi"):
        missing = missing_steps(load(file, scoring=kind), store)
        asked = {step.cell.tested_on for step in missing if isinstance(step, Predict)}
        assert asked == {"quiz"}
        assert {step.predictions.cell.tested_on for step in missing if step.kind == "score"} == {"first", "quiz"}


@pytest.mark.parametrize("kind", ["contextual", "pmi"])
def test_every_kind_of_scoring_runs_to_a_report(finished, file, kind):
    _, store = finished
    study = load(file, scoring=kind)
    assert not run_study(study, store, Workshop(store), Quiet()).failed
    results = collect(study, store, command="spillover run")
    assert results.provenance["scoring"] == kind
    answered(results, resample_count=50)


def test_a_metric_that_a_task_cannot_have_is_refused_before_anything_runs(file):
    suite = file.parent / "made.yaml"
    text = suite.read_text()
    try:
        suite.write_text(text.replace("[accuracy, brier]", "[accuracy, macro_f1]"))
        with pytest.raises(UserError, match=r"task 'quiz': the metric 'macro_f1' needs an answer set; remove it"):
            load(file)
        suite.write_text(text.replace("[accuracy, brier]", "[accuracy, macro_f2]"))
        with pytest.raises(UserError, match=r"unknown metric 'macro_f2'; did you mean 'macro_f1'"):
            load(file)
    finally:
        suite.write_text(text)


def test_an_unknown_kind_of_scoring_is_refused(file):
    with pytest.raises(UserError, match=r"scoring is 'calibrated'; it should be 'raw', 'contextual', 'pmi' or 'batch'"):
        load(file, scoring="calibrated")


def test_pmi_scoring_of_a_prompt_that_ends_with_a_field_is_refused(file):
    suite = file.parent / "made.yaml"
    text = suite.read_text()
    try:
        suite.write_text(text.replace('"Text:{text}\\nMood:"', '"Text:{text}"'))
        with pytest.raises(UserError, match=r"task 'first': prompt 1 ends with a field; pmi scoring needs words"):
            missing_steps(load(file, scoring="pmi"), Store(file.parent / "none"))
    finally:
        suite.write_text(text)


def test_in_bfloat16_the_flip_floor_is_measured_and_kept(file, tmp_path):
    text = file.read_text().replace("precision: float32", "precision: bfloat16")
    changed = file.with_name("rounded.yaml")
    changed.write_text(text)
    study, store = load_study(changed, cache=file.parent / "cache", notice=lambda _: None), Store(tmp_path)
    asked = next(
        score.predictions
        for score in study.scores
        if score.predictions.cell.tested_on == "first" and score.predictions.cell.shots == 2
    )
    workshop = Workshop(store)
    for step in (asked.data, asked):
        store.write(step, lambda folder, step=step: computed(step, folder, workshop))
    (predicted,) = (path for path in tmp_path.glob("predict/*/facts.json"))
    floor = json.loads(predicted.read_text())["flip_floor"]
    assert floor["item_count"] == 4
    assert 1e-5 < floor["largest_difference"] < 1
