"""What is read of a study that was run, and the pilots that it trains."""

import json

import numpy as np
import pytest
import torch

from spillover.config import load_study
from spillover.errors import UserError
from spillover.questions import answered
from spillover.questions.convergence.pilot import Pilot
from spillover.records import BASE
from spillover.report.write import summary
from spillover.steps.workshop import Workshop
from spillover.store.store import Store
from spillover.study.results import collect
from spillover.study.runner import run_study
from tests.study.made_study import make_rows, make_study
from tests.study.test_runner import Quiet

NAMES = ("third", "fourth", "fifth", "sixth", "seventh", "eighth")
TASK = """
  {name}:
    family: {family}
    sources: {{pool: {name}.jsonl}}
    columns: {{text: text}}
    target: answer
    split: {{demonstrations: 4, test: 12}}
"""
FAMILY = """  humour:
    prompts: {1: "Text:{text}\\nHumour:"}
    answers: [up, down]
    shots: [0, 2]
tasks:
"""


def load(path):
    return load_study(path, cache=path.parent / "cache", notice=lambda line: None)


def with_tasks(folder, names=NAMES, *, more="pilot: 8"):
    """Write the made study with so many choice tasks of two families more."""
    path = make_study(folder, more=more)
    tasks = (folder / "made.yaml").read_text().replace("tasks:\n", FAMILY)
    for place, name in enumerate(names):
        make_rows(folder, name, 60, labels=True)
        tasks += TASK.format(name=name, family=("mood", "humour")[place % 2])
    (folder / "made.yaml").write_text(tasks)
    mixed = "[first, {target: words, with: [second]}]"
    path.write_text(path.read_text().replace("[first, words]", mixed))
    return path


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("convergence")
    study, store = load(with_tasks(folder)), Store(folder / "store")
    assert not run_study(study, store, Workshop(store), Quiet()).failed
    return study, store, collect(study, store, command="spillover run study.yaml")


def test_answers_are_those_that_accuracy_is_of(finished):
    _, _, results = finished
    tasks = {task.name: task for task in results.collected["convergence"].tasks}
    assert set(tasks) == {"first", "second", *NAMES}  # not the one of texts
    checked = 0
    for row in results.scores:
        answers = row.metric == "accuracy" and tasks[row.cell.tested_on].answers.get(
            (row.variant, row.cell.shots, "raw")
        )
        if answers:
            assert answers.right[0].tolist() == row.statistics[:, 0].astype(bool).tolist()
            assert tasks[row.cell.tested_on].example_ids == row.example_ids
            checked += 1
    assert checked == 8 * (2 + len(results.variants))  # the base at both shot counts, variants without demonstrations
    batch = tasks["first"].answers[BASE, 0, "batch"]
    assert 0 < batch.right.mean() < 1  # what a cell says on average is taken off: not one answer for all
    assert (batch.gold < 0).all()
    assert 0 < tasks["first"].answers[BASE, 0, "raw"].entropy <= 1


def test_families_of_everything_that_was_trained_on_are_known(finished):
    families = finished[2].collected["convergence"].trained_families
    assert families["sft/first/16/0"] == {"mood"}
    assert families["sft/words/16/0"] == {"echo", "mood"}


def test_every_variant_has_a_pilot_of_its_own_kind(finished):
    study, _, results = finished
    pilots = results.collected["convergence"].pilots
    assert pilots == {
        "sft/first/16/0": "sft.pilot/first/8/0",
        "sft/words/16/0": "sft.pilot/words/8/0",
        "fticl/first/16/0": "fticl.pilot/first/8/0",
    }
    by_id = {model.variant: model for model in study.finetunes}
    for variant, pilot in pilots.items():
        assert by_id[variant].recipe == by_id[pilot].recipe
        assert by_id[variant].rows.mixture == by_id[pilot].rows.mixture
        assert isinstance(study.part_of(by_id[pilot]), Pilot)
    assert next(card for card in results.variants if card.id == "sft.pilot/words/8/0").is_control


def test_the_question_is_answered_of_every_variant_but_the_pilots(finished):
    results = finished[2]
    analysis = answered(results, resample_count=50)
    found = analysis.findings["convergence"]
    assert [one.recipe.name for one in found.by("batch")] == ["sft/first/16", "sft/words/16", "fticl/first/16"]
    assert {one.verdict.kind for one in found.recipes} == {"too few tasks"}
    assert [told.has_pilot for told in found.forecasts] == [False, True] * 3
    told = json.loads(json.dumps(summary(results, analysis), default=str))["convergence"]
    assert len(told["recipes"]) == 6
    assert np.isfinite(told["forecasts"][0]["error"])


def test_pilots_are_no_mixtures_of_their_own(finished):
    cards = {card.id: card for card in finished[2].variants}
    assert "mixing" in cards["sft/words/16/0"].facts
    assert "mixing" not in cards["sft.pilot/words/8/0"].facts


def test_below_eight_choice_tasks_nothing_is_read(tmp_path):
    study = load(with_tasks(tmp_path, NAMES[:4]))
    question = next(question for question in study.questions if question.name == "convergence")
    assert question.collect(study, Store(tmp_path / "store")) is None


def test_only_what_trains_on_more_rows_has_a_pilot_and_each_point_of_a_sweep_one(tmp_path):
    path = with_tasks(tmp_path, more="pilot: 16")
    assert not [plan for plan in load(path).variants if plan.part]
    swept = "sizes: [16, 32], sweep: {training.learning_rate: [0.01, 0.02]}"
    path.write_text(path.read_text().replace("sizes: [16], recipe", f"{swept}, recipe"))
    pilots = [plan for plan in load(path).variants if plan.part]
    assert [plan.name for plan in pilots] == [
        "fticl~learning_rate=0.01.pilot",
        "fticl~learning_rate=0.02.pilot",
    ]
    assert [plan.sizes for plan in pilots] == [(16,), (16,)]
    assert [plan.settings.learning_rate for plan in pilots] == [0.01, 0.02]


def test_without_the_key_nothing_is_trained_beside(tmp_path):
    assert not [plan for plan in load(with_tasks(tmp_path, more="")).variants if plan.part]


def test_the_key_alone_makes_no_study(tmp_path):
    path = with_tasks(tmp_path)
    text = path.read_text()
    path.write_text(text[: text.index("variants:")] + text[text.index("shots: [0, 2]") :])
    with pytest.raises(UserError, match=r"variants is missing; add it, or `mix`$"):
        load(path)
