import math

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from spillover.models.encoder import EncoderClassifier
from spillover.models.tfidf import TfidfClassifier
from spillover.training.supervised import (
    EncoderSettings,
    TfidfSettings,
    fitted_temperature,
    folds,
    log_shares,
)
from spillover.training.supervised_fit import fit_encoder
from tests.models.made_encoder import make_encoder

DRAW = np.random.default_rng(3)
WORDS = ["good", "bad", "dog", "sun", "rain", "big", "red", "runs"]


def made_rows(count, label_count=3):
    """Return texts and labels that follow the first word three times in four."""
    texts, golds = [], []
    for _ in range(count):
        words = DRAW.choice(WORDS, 4).tolist()
        texts.append((" ".join(words),))
        golds.append(WORDS.index(words[0]) % label_count if DRAW.random() < 0.75 else int(DRAW.integers(label_count)))
    return texts, golds


def test_a_head_on_frozen_features_becomes_scikit_learns_logistic_regression(tmp_path):
    texts, golds = made_rows(100)
    made = EncoderClassifier.begin(
        make_encoder(tmp_path / "encoder"), label_count=3, max_length=40, device="cpu", seed=0
    )
    made.model.train(False)
    pooler = made.model.bert.pooler.dense
    with torch.no_grad():  # features of a tiny random encoder hardly differ; whitened, any solver finds the optimum
        first = torch.cat([made.model.bert(**made.batch([row])).last_hidden_state[:, 0] for row in texts])
        _, sizes, axes = torch.linalg.svd(first - first.mean(0), full_matrices=False)
        pooler.weight.copy_(5 * torch.diag((sizes > 0.1 * sizes[0]) / sizes) @ axes)
        pooler.bias.copy_(-pooler.weight @ first.mean(0))
        features = torch.cat([made.model.bert(**made.batch([row])).pooler_output for row in texts]).numpy()
    before = {name: weight.clone() for name, weight in made.model.bert.state_dict().items()}
    settings = EncoderSettings(
        train="head", epochs=400, batch_size=100, learning_rate=0.2, weight_decay=0, max_gradient_norm=1e9
    )
    losses = fit_encoder(made, texts, golds, settings, seed=0, progress=lambda _: None)
    wanted = LogisticRegression(C=1e8, max_iter=100_000, tol=1e-10).fit(features, golds)
    own, theirs = np.exp(log_shares(made.logits(texts), 1.0)), wanted.predict_proba(features)
    assert losses[-1] < losses[0]
    assert losses[-1] == pytest.approx(-np.log(theirs[range(100), golds]).mean(), abs=1e-4)
    np.testing.assert_allclose(own, theirs, atol=0.01)
    assert all(torch.equal(weight, before[name]) for name, weight in made.model.bert.state_dict().items())


def test_all_weights_learn_and_one_seed_gives_one_result(tmp_path):
    texts, golds = made_rows(48)
    folder = make_encoder(tmp_path / "encoder", dropout=0.1)
    settings = EncoderSettings(epochs=2, batch_size=16, learning_rate=0.01)
    assert settings.step_count(48) == 6

    def fitted(seed):
        made = EncoderClassifier.begin(folder, label_count=3, max_length=40, device="cpu", seed=seed)
        shares = []
        losses = fit_encoder(made, texts, golds, settings, seed=seed, progress=shares.append)
        assert (len(losses), shares[-1]) == (6, 1.0)
        return made.logits(texts)

    assert np.array_equal(fitted(0), fitted(0))
    assert not np.allclose(fitted(0), fitted(1))


@pytest.mark.parametrize("label_count", [2, 3])
def test_tfidf_gives_the_shares_of_scikit_learns_own_pipeline_and_is_kept_as_numbers(tmp_path, label_count):
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import make_pipeline

    texts, golds = made_rows(80, label_count)
    unseen = [("good rain",), ("nothing known here",)]
    own, _ = TfidfSettings(penalty=0.5).fit(
        texts, golds, label_count, encoder=None, seed=0, device="cpu", progress=lambda _: None
    )
    theirs = make_pipeline(
        TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2)), LogisticRegression(C=2, max_iter=2000)
    ).fit([row[0] for row in texts], golds)
    wanted = theirs.predict_proba([row[0] for row in [*texts, *unseen]])
    np.testing.assert_allclose(np.exp(log_shares(own.logits([*texts, *unseen]), 1.0)), wanted, atol=1e-9)
    own.save(tmp_path / "kept")
    assert np.array_equal(TfidfClassifier.open(tmp_path / "kept").logits(unseen), own.logits(unseen))


@pytest.mark.parametrize("seen", [[0, 2], [0, 2, 3]])
def test_a_label_that_no_training_row_has_gets_no_share(seen):
    texts, golds = made_rows(60, len(seen))
    made = TfidfClassifier.fit(texts, [seen[gold] for gold in golds], 4, longest=1, strength=1.0)
    shares = np.exp(log_shares(made.logits(texts), 1.0))
    unseen = [label for label in range(4) if label not in seen]
    assert shares[:, unseen].max() < 1e-11
    assert np.allclose(shares[:, seen].sum(axis=1), 1)


def test_temperature_one_is_the_identity_and_another_changes_no_choice():
    logits = DRAW.normal(size=(20, 3)) * 3
    plain = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(log_shares(logits, 1.0), plain, atol=1e-12)
    assert np.array_equal(log_shares(logits, 4.0).argmax(axis=1), logits.argmax(axis=1))
    assert np.exp(log_shares(logits, 4.0)).max() < np.exp(plain).max()


def test_the_temperature_is_the_one_that_labels_were_drawn_with():
    """Labels are drawn by softmax of logits; logits that are three times as large need a temperature of three."""
    logits = DRAW.normal(size=(20_000, 3))
    shares = np.exp(log_shares(logits, 1.0))
    golds = (DRAW.random((len(logits), 1)) > shares.cumsum(axis=1)).sum(axis=1).tolist()
    found = fitted_temperature(3 * logits, golds)
    assert found == pytest.approx(3, rel=0.06)
    grid = np.exp(np.linspace(math.log(0.5), math.log(20), 400))
    losses = [-log_shares(3 * logits, float(t))[np.arange(len(golds)), golds].mean() for t in grid]
    assert found == pytest.approx(grid[int(np.argmin(losses))], rel=0.02)


def test_folds_hold_every_row_once_and_are_of_even_size():
    parts = folds(23, 5, seed=1)
    assert sorted(place for part in parts for place in part) == list(range(23))
    assert {len(part) for part in parts} == {4, 5}
    assert parts == folds(23, 5, seed=1)
    assert parts != folds(23, 5, seed=2)
