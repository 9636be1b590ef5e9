"""A study with classifiers beside the base: an encoder, TF-IDF and predictions of one's own, in miniature."""

import csv
import json
import math
from dataclasses import replace

import numpy as np
import pytest

from spillover.analysis.analysis import analyse
from spillover.config import load_study
from spillover.errors import SpilloverError, UserError
from spillover.questions import QUESTIONS
from spillover.records import BASE
from spillover.report.matrix import matrices
from spillover.steps.step import with_inputs
from spillover.steps.supervise_given import read_given
from spillover.steps.supervise_variant import over_answers
from spillover.steps.workshop import Workshop
from spillover.store.store import Store
from spillover.study.export import export
from spillover.study.plan import planned_work
from spillover.study.results import collect
from spillover.study.runner import Runner
from spillover.tasks.prepare import training_rows
from tests.models.made_encoder import make_encoder
from tests.study.made_study import SUITE, TASK, make_model, make_rows

STUDY = """
base: ./model
suite: ./made.yaml
variants:
  - {name: sft, train_on: first, sizes: [16]}
  - {name: slm, train_on: first, sizes: [16], supervised: {encoder: ./encoder, epochs: 1, learning_rate: 0.01, folds: 2}}
  - {name: words, train_on: first, sizes: 16, supervised: tfidf}
  - {name: mine, predictions: ./mine.csv, train_on: mood}
test_on: [first, second, words, third]
shots: [0, 2]
test_limit: 10
training: {epochs: 1, batch_size: 4, learning_rate: 0.01}
precision: float32
"""
SLM, WORDS, MINE, SFT = "slm/first/16/0", "words/first/16/0", "mine/mood", "sft/first/16/0"


def made(folder, study=STUDY):
    make_model(folder / "model")
    make_encoder(folder / "encoder")
    tasks = ""
    for name, family, labels in (("first", "mood", True), ("second", "mood", True), ("words", "echo", False)):
        make_rows(folder, name, 60, labels=labels)
        tasks += TASK.format(name=name, family=family)
    make_rows(folder, "third", 60, labels=True)
    tasks += TASK.format(name="third", family="weather")
    weather = '  weather:\n    prompts: {1: "Sky:{text}\\nIt is:"}\n    answers: [down, flat, up]\n    shots: [0, 2]\n'
    (folder / "made.yaml").write_text(SUITE.replace("tasks:\n", weather + "tasks:\n") + tasks, encoding="utf-8")
    rows = [json.loads(line) for name in ("first", "third") for line in (folder / f"{name}.jsonl").open()]
    with (folder / "mine.csv").open("w", newline="") as stream:
        lines = csv.writer(stream)
        lines.writerow(["text", "task", "up", "down", "sideways"])
        lines.writerows([row["text"], ("first", "third")[index // 60], *SHARES] for index, row in enumerate(rows))
    (folder / "study.yaml").write_text(study, encoding="utf-8")
    return folder / "study.yaml"


SHARES = (0.6, 0.2, 0.2)


def loaded(path):
    return load_study(path, cache=path.parent / "cache", notice=lambda _: None)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return loaded(made(tmp_path_factory.mktemp("study")))


@pytest.fixture(scope="module")
def store(study, tmp_path_factory):
    kept = Store(tmp_path_factory.mktemp("store"))
    assert not Runner(study, kept).run()
    return kept


@pytest.fixture(scope="module")
def results(study, store):
    return collect(study, store, command="spillover run study.yaml")


def scored(results, variant, task="first", metric="accuracy"):
    found = [row for row in results.scores if (row.variant, row.cell.tested_on, row.metric) == (variant, task, metric)]
    return {row.cell.shots: row for row in found}


def model_of(study, name):
    return next(model for model in study.models if model.variant == name)


def test_classifiers_are_variants_of_what_they_can_answer(study, results):
    assert [card.id for card in results.variants] == [SFT, SLM, WORDS, MINE]
    tested = {name: {task for variant, task in results.relations if variant == name} for name in (SFT, SLM, MINE)}
    assert tested == {SFT: {"first", "second", "words", "third"}, SLM: {"first", "second", "third"}, MINE: {"first", "third"}}
    assert results.relations[SLM, "second"] == "in-domain"
    assert results.relations[MINE, "first"] == "out-of-domain"
    said = "\n".join(results.skipped)
    assert "slm on words: it has no answer set, and a classifier gives nothing but labels" in said
    assert "mine on second: mine.csv is of first, third" in said
    assert "slm on third: it never answers flat; shares are of the labels in common" in said
    assert "mine on first: its sideways is left out; shares are of the labels in common" in said


def test_a_classifier_answers_the_same_at_every_shot_count_by_one_step(study, store, results):
    cells = scored(results, SLM)
    assert sorted(cells) == [0, 2]
    assert np.array_equal(cells[0].statistics, cells[2].statistics)
    asked = {step.predictions.key for step in study.scores if step.predictions.model == SLM}
    assert len(asked) == 3
    bases = {step.predictions.key for step in study.scores if step.predictions.model == BASE}
    assert len(bases) == 8


def test_predictions_are_log_shares_in_the_order_of_the_tasks_answers(study, store):
    for step in study.scores:
        if step.predictions.model == MINE and step.predictions.cell.tested_on == "first":
            for row in step.predictions.answered(store):
                assert row.raw_answer == "up"
                assert row.log_likelihoods == pytest.approx([math.log(0.75), math.log(0.25)])
        if step.predictions.model == SLM:
            for row in step.predictions.answered(store):
                assert np.exp(row.log_likelihoods).sum() == pytest.approx(1)


def test_analysis_and_report_have_them_beside_the_others(results):
    analysis = analyse(results, QUESTIONS, resample_count=200)
    own = {row.variant: row for row in analysis.measurements if row.tested_on == "first" and row.shots == 0 and row.is_primary}
    majority = scored(results, MINE)[0]
    assert own[MINE].value == pytest.approx(float(majority.statistics[:, 0].mean()))
    assert {verdict.variants[0] for verdict in analysis.verdicts} == {SFT, SLM, WORDS, MINE}
    (table,) = [found for name, found in matrices(results, analysis).items() if name == "first"]
    rows = {row[0].text if hasattr(row[0], "text") else row[0]: row for group in table.groups for row in group.rows}
    assert len(rows) == 4
    drift = analysis.findings.get("drift")
    assert drift is None or set(drift.measured) == {SFT}


def test_calibration_and_training_are_known_of_the_variant(results, study, store):
    card = next(card for card in results.variants if card.id == SLM)
    assert card.is_classifier
    assert card.training["rows"] == 16
    assert len(card.training["losses"]) == 1
    assert card.training["calibration"]["rows"] == 28  # 60 rows less 4 demonstrations, 12 test rows and 16 of its own
    assert card.training["temperature"] > 0
    assert 0 <= card.training["calibration"]["ece_after"] <= 1
    assert card.recipe["supervised"]["encoder"] == "encoder"


def test_keys_hold_what_changes_a_number_and_nothing_of_the_base(study, tmp_path):
    slm = model_of(study, SLM)
    same = replace(slm, name="other", base=replace(slm.base, fingerprint="another"))
    assert same.key == slm.key
    changed = [
        replace(slm, size=17),
        replace(slm, seed=1),
        replace(slm, protocol="literal"),
        replace(slm, settings=slm.settings.model_copy(update={"epochs": 2})),
        replace(slm, settings=slm.settings.model_copy(update={"calibration_rows": 0})),
        replace(slm, encoder=replace(slm.encoder, fingerprint="another")),
    ]
    assert len({slm.key, *(step.key for step in changed)}) == 7
    folds = replace(slm, settings=slm.settings.model_copy(update={"folds": 3}))
    assert folds.key == slm.key
    assert folds.out_of_fold.key != slm.out_of_fold.key


@pytest.mark.parametrize("name", [SLM, WORDS])
def test_training_rows_are_judged_out_of_fold_and_others_as_asked(study, store, name):
    model, workshop = model_of(study, name), Workshop(store)
    own = training_rows(model.data.rows(workshop), 16, seed=0)
    others = model.data.rows(workshop).test[:3]
    asked = model.asked_shares(own, workshop)
    if not store.has(model.out_of_fold):
        with pytest.raises(SpilloverError, match="out of fold: not done; whoever asks this"):
            model.shares_of([others[0], own[0]], workshop)
        assert np.array_equal(model.shares_of(others, workshop), model.asked_shares(others, workshop))
    store.compute_for_test = None
    with store.writing(model.out_of_fold) as folder:
        model.out_of_fold.compute(folder, workshop, _told())
