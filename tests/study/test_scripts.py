"""A study of Chinese texts: what its scores are where every answer equals its reference."""

import json
from dataclasses import replace

import pytest

from spillover.config import load_study
from spillover.evaluation.metrics import METRICS
from spillover.records import Prediction
from spillover.study import files
from spillover.study.step import Predict, Prepare, Score
from spillover.study.store import Store
from spillover.study.work import Workshop
from spillover.tasks.prepare import protocol_rows
from tests.study.made_study import make_study

SUITE = """
families:
  summary:
    prompts: {1: "### Input:\\n{review}\\n### Summary:"}
    metrics: [rouge_l, bleu, token_f1, chrf]
    generation: {max_new_tokens: 24}
    shots: [0]
tasks:
  shop:
    family: summary
    sources: {pool: zh.jsonl}
    columns: {review: text}
    target: summary
    split: {demonstrations: 4, test: 24}
"""


@pytest.fixture
def study(tmp_path):
    path = make_study(tmp_path)
    rows = [{"text": f"第{index}条评论很长", "summary": "这部电影非常好看"} for index in range(60)]
    lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    path.with_name("zh.jsonl").write_text("\n".join(lines), encoding="utf-8")
    path.with_name("shop.yaml").write_text(SUITE, encoding="utf-8")
    variant = "variants: [{name: sft, train_on: shop, sizes: [16]}]"
    path.write_text(f"base: ./model\nsuite: ./shop.yaml\n{variant}\ntest_limit: 24\nprecision: float32\n")
    return load_study(path, cache=tmp_path / "cache", notice=print)


def scored(study, answer_to):
    """Score the base as if it had answered so; its own predictions are asked of no model."""
    store = Store(study.cache.parent / "store")
    workshop = Workshop(store)
    (score,) = (step for step in study.scores if step.predictions.variant is None)
    asked = score.predictions

    def predict(folder):
        prepared = files.read_prepared(store.file(Prepare.kind, asked.data.key, files.ROWS))
        examples = protocol_rows(prepared, split="test", protocol=asked.protocol)[0]
        predictions = [Prediction(row.id, row.target, answer_to(row.target), token_ids=(1,)) for row in examples]
        files.write_predictions(folder / files.PREDICTIONS, predictions)
        return {}

    store.write(Prepare.kind, asked.data.key, lambda folder: workshop.compute(asked.data, folder, print), fields={})
    store.write(Predict.kind, asked.key, predict, fields={})
    store.write(Score.kind, score.key, lambda folder: workshop.compute(score, folder, print), fields={})
    _, statistics = files.read_statistics(store.file(Score.kind, score.key, "statistics.json"))
    return {name: float(METRICS[name].card.combine(rows.sum(axis=0))) for name, rows in statistics.items()}


def test_answers_that_equal_chinese_references_have_the_best_scores(study):
    found = scored(study, lambda target: target)
    assert found == {"rouge_l": 1, "bleu": pytest.approx(100), "token_f1": 1, "chrf": pytest.approx(100)}


def test_answers_that_share_some_characters_have_a_part_of_them(study):
    found = scored(study, lambda target: target.replace("非常", "很"))
    assert found["rouge_l"] == found["token_f1"] == pytest.approx(2 * 6 / (8 + 7))
    assert 0 < found["bleu"] < 100
    assert 0 < found["chrf"] < 100


def test_a_raised_version_of_a_metric_is_part_of_the_keys_of_scores_that_have_it_and_of_no_other(study):
    score = study.scores[0]
    assert score.fields()["metric_versions"] == {"rouge_l": 2, "bleu": 2, "token_f1": 2}
    assert "metric_versions" not in replace(score, metrics=("chrf",)).fields()
    assert "metric_versions" not in score.predictions.fields()


def test_scores_of_choices_keep_their_keys_though_equal_text_is_told_by_accuracy_in_another_way(study, tmp_path):
    choices = load_study(make_study(tmp_path / "made"), cache=study.cache, notice=print)
    for score in choices.scores:
        is_choice = score.predictions.data.task.is_classification
        assert ("metric_versions" in score.fields()) is not is_choice
    text = replace(study.scores[0], metrics=("accuracy", "label_share"))
    assert text.fields()["metric_versions"] == {"accuracy": 2, "label_share": 2}
