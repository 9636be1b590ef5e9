"""Demonstrations of each item's own: which rows they are, what their keys say, and how they are computed together."""

import numpy as np
import pytest
import torch

from spillover.errors import UserError
from spillover.models.scoring import answer_scores
from spillover.prompts.demonstrations import text_of
from spillover.prompts.similarity import letter_similarities, nearest
from spillover.records import BASE, PLAIN, Cell
from spillover.steps.asked_rows import AskedRows
from spillover.steps.predict import asked_model
from spillover.steps.workshop import Workshop
from spillover.store.store import Store
from spillover.study.runner import run_study
from tests.models.made_encoder import make_encoder
from tests.study.test_asks import asking, load, with_asks
from tests.study.test_runner import Quiet

ASKS = """
test_on: [words, first]
asks:
  near: {demonstrations: similar}
  both: {like: near, receipts: {receipts: {of: fticl}}, only: {tasks: first}}
  few: {demonstrations: {kind: similar, pool: demonstrations}}
  vectors: {demonstrations: {kind: similar, encoder: ./encoder}, only: {tasks: first}}
base_asked: all
""".replace("receipts: {receipts: {of: fticl}}", "receipts: {of: fticl}")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("similar")
    make_encoder(folder / "encoder")
    study, store = load(with_asks(folder, ASKS)), Store(folder / "store")
    assert not run_study(study, store, Workshop(store), Quiet()).failed
    return study, store


def test_each_item_is_shown_the_rows_most_like_it_that_no_variant_trains_on(finished):
    study, store = finished
    workshop = Workshop(store)
    step = asking(study, ask="near")
    prepared, rows = step.data.rows(workshop), step.examples(workshop)[0]
    learnt = {text_of(row) for learner in study.learners for row in learner.learnt(workshop)}
    pool = [row for row in prepared.train if text_of(row) not in learnt]
    assert 2 < len(pool) < len(prepared.train)
    expected = nearest(rows, pool, letter_similarities(pool), count=2)
    for row, shown, places in zip(rows, step.demonstrations(workshop), expected, strict=True):
        assert [pool[place].id for place in places] == [other.id for other in reversed(shown)]
        assert text_of(row) not in {text_of(other) for other in shown}
    prompts = [item.prompt for item in step.asked_items(workshop)]
    for row, prompt, shown in zip(rows, prompts, step.demonstrations(workshop), strict=True):
        lines = [f"Text:{other.fields['text']}\nMood:{other.target}\n\n" for other in shown]
        assert prompt == "".join(lines) + f"Text:{row.fields['text']}\nMood:"


def test_another_pool_or_other_vectors_show_other_rows_by_other_steps(finished):
    study, store = finished
    workshop, steps = Workshop(store), [asking(study, ask=ask) for ask in ("near", "few", "vectors")]
    assert len({step.key for step in steps}) == 3
    near, few, vectors = (step.demonstrations(workshop) for step in steps)
    demonstrations = {row.id for row in steps[0].data.rows(workshop).demonstrations}
    assert {row.id for shown in few for row in shown} <= demonstrations
    assert not {row.id for shown in (*near, *vectors) for row in shown} & demonstrations
    assert near != vectors


def test_without_demonstrations_the_ask_is_the_plain_cell_and_their_seed_changes_nothing(finished):
    study, _ = finished
    assert asking(study, ask="near", shots=0).key == asking(study, shots=0).key
    (_, task), who = study.suite_tasks, study.asked_model(None)
    seeds = {task.asking(who, Cell("first", 1, 2, seed, "near")).key for seed in (0, 1)}
    assert len(seeds) == 1
    assert len({task.asking(who, Cell("first", 1, 2, seed, PLAIN)).key for seed in (0, 1)}) == 2


def test_prompts_computed_in_groups_score_as_each_does_alone(finished):
    study, store = finished
    workshop, step = Workshop(store), asking(study, ask="near")
    encoded, _ = step.encoded(workshop)
    model = asked_model(study.base, None, "float32", workshop).model
    alone = [answer_scores(model, [prompt], [encoded.answers])[0].log_likelihoods for prompt in encoded.prompts]
    assert np.allclose([row.log_likelihoods for row in step.answered(store)], alone, atol=1e-4)
    assert sorted(index for group in encoded.groups() for index in group) == list(range(len(encoded.prompts)))


def test_free_text_is_written_behind_demonstrations_of_its_own(finished):
    study, store = finished
    step = asking(study, task="words", ask="near")
    assert len(step.answered(store)) == len(step.examples(Workshop(store))[0])


def test_receipts_beside_similar_demonstrations_are_of_the_pool(finished):
    study, store = finished
    step = asking(study, ask="both")
    shown = dict(step.receipts)["demonstrations"].step
    assert shown.rows == study.pool()
    assert all(item.prompt.count("Classifier's Prediction") == 3 for item in step.asked_items(Workshop(store)))


def test_a_plan_prices_them_with_less_shared_than_the_same_for_all(finished, tmp_path):
    study, _ = finished
    workshop = Workshop(Store(tmp_path / "empty"))
    near, plain = asking(study, ask="near").work(workshop), asking(study).work(workshop)
    assert near > 1.5 * plain


def test_more_than_the_pool_holds_are_refused(finished):
    study, store = finished
    find = asking(study, ask="few").nearest
    assert find.pool == AskedRows("demonstrations")
    with pytest.raises(UserError, match="5 similar demonstrations asked for, its pool has 4 rows"):
        find.shown((), 5, Workshop(store))
    with pytest.raises(UserError, match="at most 32"):
        find.shown((), 33, Workshop(store))


def test_every_model_is_shown_the_same(finished):
    study, _ = finished
    (_, task), variant = study.suite_tasks, study.models[0]
    keys = {
        task.asking(study.asked_model(model), Cell("first", 1, 2, 0, "near")).nearest.key for model in (None, variant)
    }
    assert len(keys) == 1
    assert asking(study, model=BASE, ask="near").nearest.key in keys
