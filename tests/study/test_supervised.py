"""A study with classifiers beside the base: an encoder, TF-IDF and predictions of one's own, in miniature."""

import csv
import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from spillover.analysis.analysis import analyse
from spillover.config import load_study
from spillover.errors import SpilloverError, UserError
from spillover.questions import QUESTIONS
from spillover.records import BASE
from spillover.report.matrix import matrices
from spillover.steps.supervise_given import read_given
from spillover.steps.supervise_variant import over_answers
from spillover.steps.workshop import Workshop
from spillover.store.store import Store
from spillover.study.export import export
from spillover.study.results import collect
from spillover.study.runner import computed, run_study
from spillover.tasks.prepare import training_rows
from spillover.training.supervised import folds, log_shares
from tests.models.made_encoder import make_encoder
from tests.study.made_study import SUITE, TASK, make_model, make_rows
from tests.study.test_runner import Quiet

STUDY = """
base: ./model
suite: ./made.yaml
variants:
  - {name: sft, train_on: first, sizes: [16]}
  - {name: slm, train_on: first, sizes: 16, supervised: {encoder: ./encoder, epochs: 1, learning_rate: 0.01}}
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
    rows = [
        json.loads(line) for name in ("first", "third") for line in (folder / f"{name}.jsonl").read_text().splitlines()
    ]
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
    torch.set_num_threads(1)
    assert not run_study(study, kept, Workshop(kept), Quiet()).failed
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
    assert tested == {
        SFT: {"first", "second", "words", "third"},
        SLM: {"first", "second", "third"},
        MINE: {"first", "third"},
    }
    own = [results.relations[SLM, task] for task in ("first", "second", "third")]
    assert own == ["in-domain", "out-of-domain", "cross-task"]
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
    own = {
        row.variant: row
        for row in analysis.measurements
        if row.tested_on == "first" and row.shots == 0 and row.is_primary
    }
    majority = scored(results, MINE)[0]
    assert own[MINE].value == pytest.approx(float(majority.statistics[:, 0].mean()))
    assert {verdict.variants[0] for verdict in analysis.verdicts} == {SFT, SLM, WORDS, MINE}
    (table,) = matrices(results, analysis).values()
    names = [column.title for column in table.columns]
    words = [row[names.index(SLM)].text for row in table.rows if row[0].text == "words"]
    assert words == ["–", "–"]
    assert len(table.rows) == 8
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


def test_training_rows_are_judged_by_models_that_saw_others_and_any_other_row_as_asked(study, store, tmp_path):
    model, workshop = model_of(study, WORDS), Workshop(store)
    own, other = training_rows(model.data.rows(workshop), 16, seed=0), model.data.rows(workshop).test[:3]
    with pytest.raises(SpilloverError, match="out of fold: not done; whoever asks this"):
        model.shares_of([other[0], own[0]], workshop)
    fair = model.fair_inputs()["out of fold"]
    store.write(fair, lambda folder: computed(fair, folder, workshop))
    found = model.shares_of([other[0], *own, other[1]], workshop)
    assert np.array_equal(found[[0, -1]], model.asked_shares([other[0], other[1]], workshop))
    asked = model.asked_shares(own, workshop)
    golds = [model.labels.index(row.target) for row in own]
    assert (found[1:-1] != asked).any(axis=1).all()
    assert found[1:-1][range(16), golds].mean() < asked[range(16), golds].mean()  # it is less sure of what it learnt by
    rows, _, _ = model.rows(workshop)
    for part in folds(16, 5, seed=0):  # by hand, one fold after the other
        left = rows.part([place for place in range(16) if place not in part])
        alone, _ = model.settings.fit(
            left.texts, left.golds, 2, encoder=None, seed=0, device="cpu", progress=lambda _: None
        )
        logs = log_shares(alone.logits(rows.part(part).texts), model.log(store)["temperature"])
        np.testing.assert_allclose(found[1:-1][part], np.exp(logs))


def test_a_classifier_is_no_language_model(study, store, tmp_path):
    with pytest.raises(UserError, match="is a classifier, no language model"):
        export(study, store, SLM, tmp_path / "out")
    with pytest.raises(SpilloverError, match="is a classifier, no language model"):
        model_of(study, SLM).whole_model(store)


def test_the_written_study_means_the_same(study, tmp_path):
    path = tmp_path / "again.yaml"
    folder = study.cache.parent
    content = {**study.resolved(), "base": str(folder / "model"), "suite": str(folder / "made.yaml")}
    del content["shots"], content["test_limit"]
    path.write_text(json.dumps({**content, "shots": [0, 2], "test_limit": 10}), encoding="utf-8")
    again = load_study(path, cache=study.cache, notice=lambda _: None)
    assert [step.key for step in again.classifiers] == [step.key for step in study.classifiers]


def test_shares_are_renormalised_over_what_a_task_and_a_classifier_have_in_common():
    shares = np.array([[0.5, 0.3, 0.2], [0.0, 0.0, 1.0]])
    found = np.exp(over_answers(shares, ("up", "down", "sideways"), ("down", "flat", "up")))
    np.testing.assert_allclose(found[0], [0.375, 0, 0.625], atol=1e-11)
    np.testing.assert_allclose(found[1], [0.5, 0, 0.5], atol=1e-11)  # of nothing, even


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("{name: a, train_on: words, sizes: 16, supervised: tfidf}", "task 'words' has no answer set"),
        ("{name: a, train_on: first, sizes: 16, supervised: {kind: svm}}", "svm"),
        ("{name: a, train_on: first, sizes: 16, supervised: {encoder: ./nowhere}}", "no such folder"),
        ("{name: a, train_on: first, sizes: 16, supervised: tfidf, recipe: {}}", "unknown setting 'recipe'"),
        ("{name: a, predictions: ./none.csv}", "cannot be read"),
    ],
)
def test_what_cannot_be_a_classifier_is_refused_when_the_file_is_read(study, entry, message):
    path = study.cache.parent / "wrong.yaml"
    path.write_text(f"base: ./model\nsuite: ./made.yaml\nvariants: [{entry}]\ntest_on: first\n", encoding="utf-8")
    with pytest.raises(UserError, match=message):
        loaded(path)


def test_a_classifier_without_a_single_task_to_answer_is_refused(study):
    path = study.cache.parent / "wrong.yaml"
    entry = "{name: a, train_on: first, sizes: 16, supervised: tfidf}"
    path.write_text(f"base: ./model\nsuite: ./made.yaml\nvariants: [{entry}]\ntest_on: words\n", encoding="utf-8")
    with pytest.raises(UserError, match="variant 'a' can answer no tested task: it has no answer set"):
        loaded(path)


def test_rows_that_a_classifier_cannot_be_trained_on_are_found_before_compute_is_spent(study, tmp_path):
    model, workshop = model_of(study, WORDS), Workshop(Store(tmp_path))
    with pytest.raises(UserError, match="100 training rows asked for"):
        replace(model, size=100).work(workshop)
    with pytest.raises(UserError, match="have the one label"):
        replace(model, size=1).work(workshop)
    with pytest.raises(UserError, match="16 training rows are too few for 9 folds"):
        replace(model.out_of_fold, count=9).work(workshop)


GOOD = b"id,label,up,down\nr1,up,.7,.3\nr2,down,.2,.8\n"


def test_a_file_of_labels_alone_is_a_classifier_that_is_always_sure(tmp_path):
    given = read_given(tmp_path / "mine.csv", b"text,label\ngood dog,up\nbad  dog,down\n")
    assert given.labels == ("up", "down")
    assert given.shares.tolist() == [[1, 0], [0, 1]]
    assert given.names == {"good dog": 0, "bad dog": 1}
    assert given.tasks == frozenset()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (GOOD.replace(b"id,", b"row,"), "expected id or text of the row"),
        (b"id\nr1\n", "expected id or text of the row, and label or one column for each label"),
        (
            GOOD.replace(b".3", b".5"),
            r"row 1: the shares are up .7, down .5; expected numbers from 0 to 1 that sum to 1",
        ),
        (GOOD.replace(b".3", b"much"), "row 1: the shares are"),
        (GOOD.replace(b"r2,down", b"r2,up"), "row 2: the label is 'up', the largest share is of 'down'"),
        (GOOD.replace(b"r2", b"r1"), "row 2: 'r1' is in row 1 too"),
        (b"id,label\nr1,up\n", "the labels are 'up'; expected two"),
    ],
)
def test_a_file_of_predictions_that_cannot_be_meant_is_refused(tmp_path, content, message):
    assert len(read_given(tmp_path / "mine.csv", GOOD).shares) == 2
    with pytest.raises(UserError, match=message):
        read_given(tmp_path / "mine.csv", content)


def test_rows_that_are_not_in_the_file_are_counted(study, store):
    model, workshop = model_of(study, MINE), Workshop(store)
    rows = model_of(study, SLM).data.rows(workshop).test[:2]
    lost = replace(rows[0], id="nowhere", fields={"text": "never seen"})
    with pytest.raises(UserError, match=r"1 of 3 rows are not in it, such as 'nowhere' \('never seen'\)"):
        model.asked_shares([*rows, lost], workshop)
