import json
import shutil

import pytest
import torch

from spillover.config import load_study
from spillover.questions import answered
from spillover.records import BASE, CommonAnswer, Prediction
from spillover.report.formats import Format
from spillover.report.write import write_report
from spillover.steps.workshop import Workshop
from spillover.store import files
from spillover.store.store import Store
from spillover.study.results import collect
from spillover.study.runner import run_study
from tests.study.made_study import make_study
from tests.study.test_runner import Quiet, run


def test_rows_that_share_a_source_keep_it_in_the_results_and_the_margin_is_the_studys(tmp_path):
    path = make_study(tmp_path, more="test_on: [first, second]\nmargin: 0.05")
    path.write_text(path.read_text().replace("[first, words]", "first").replace("shots: [0, 2]", "shots: 0"))
    rows = [json.loads(line) for line in (tmp_path / "first.jsonl").read_text().splitlines()]
    lines = [json.dumps({**row, "book": f"book {index // 2}"}) for index, row in enumerate(rows)]
    (tmp_path / "first.jsonl").write_text("\n".join(lines) + "\n")
    suite = tmp_path / "made.yaml"
    suite.write_text(suite.read_text().replace("{pool: first.jsonl}", "{pool: first.jsonl}\n    group: book"))
    torch.set_num_threads(1)
    study, store = load_study(path, cache=tmp_path / "cache", notice=lambda line: None), Store(tmp_path / "store")
    assert not run_study(study, store, Workshop(store), Quiet()).failed
    results = collect(study, store, command="spillover run study.yaml")
    assert results.margin == 0.05
    first, second = (
        next(scores for scores in results.scores if (scores.variant, scores.cell.tested_on) == (BASE, task))
        for task in ("first", "second")
    )
    assert len(first.groups) == len(first.example_ids) == 10
    assert len(set(first.groups)) == 5
    assert second.groups == ()


def test_a_variant_whose_drift_alone_is_missing_is_reported_without_it(tmp_path):
    path = make_study(tmp_path, more="test_on: [first]")
    path.write_text(path.read_text().replace("[first, words]", "first").replace("shots: [0, 2]", "shots: 0"))
    torch.set_num_threads(1)
    study, store = load_study(path, cache=tmp_path / "cache", notice=lambda line: None), Store(tmp_path / "store")
    assert not run_study(study, store, Workshop(store), Quiet()).failed
    (drift,) = (step for step in study.asked_beside if step.variant.variant == "fticl/first/16/0")
    shutil.rmtree(store.folder(drift))
    results = collect(study, store, command="spillover run study.yaml")
    moved = {card.id: bool(card.facts.get("drift")) for card in results.variants}
    assert moved == {"sft/first/16/0": True, "fticl/first/16/0": False}
    assert results.skipped == ("measure drift of fticl/first/16/0: not done yet",)
    page = write_report(results, answered(results), tmp_path / "report", formats=[Format.HTML, Format.MARKDOWN])[
        0
    ].read_text()
    assert "measure drift of fticl/first/16/0: not done yet" in page
    shutil.rmtree(store.folder(study.scores[-1]))
    (left,) = collect(study, store, command="spillover run study.yaml").variants
    assert left.id == "sft/first/16/0"


def test_tasks_know_their_floors_and_models_what_they_answer_most(tmp_path):
    path = make_study(tmp_path, more="test_on: [first, words]\nscoring: contextual")
    path.write_text(path.read_text().replace("[first, words]", "first", 1).replace("shots: [0, 2]", "shots: 0"))
    torch.set_num_threads(1)
    study, store = load_study(path, cache=tmp_path / "cache", notice=lambda line: None), Store(tmp_path / "store")
    assert not run_study(study, store, Workshop(store), Quiet()).failed
    results = collect(study, store, command="spillover run study.yaml")
    first, words = results.tasks
    rows = {
        (step.predictions.model, step.predictions.cell): [
            json.loads(line) for line in store.file(step.predictions, "predictions.jsonl").read_text().splitlines()
        ]
        for step in study.scores
    }
    targets = [row["target"] for (_, cell), own in rows.items() if cell.tested_on == "first" for row in own][:10]
    ups = targets.count("up") / 10
    assert 0 < ups < 1
    assert first.floors["accuracy"] == max(ups, 1 - ups) == first.majority_accuracy
    guessed = sum(share / (share + 1 / 2) for share in (ups, 1 - ups)) / 2  # F1 of half rightly chosen, half chosen
    constant = max(share / (share + 1) for share in (ups, 1 - ups))  # one answer alone, the other's F1 is 0
    assert first.floors["macro_f1"] == pytest.approx(max(guessed, constant))
    assert first.floors["mcc"] == 0
    assert not {"ece", "brier", "label_prior_loss", "format_loss", "remaining_loss"} & set(first.floors)
    assert (words.floors, first.constant_scores) == ({"rouge_l": 0, "bleu": 0}, {})
    assert 0 < words.constant_scores["rouge_l"] < 1
    assert set(results.common_answers) == set(rows)
    for (model, cell), own in rows.items():
        said = [row["answer"] for row in own]
        if cell.tested_on == "first":
            # what is chosen after calibration, not the answer of the highest log-likelihood
            better = [
                [ll - prior for ll, prior in zip(r["log_likelihoods"], r["content_free"], strict=True)] for r in own
            ]
            said = ["up" if up >= down else "down" for up, down in better]
        most = max(said, key=lambda text: (said.count(text), -said.index(text)))
        assert results.common_answers[model, cell] == CommonAnswer(most, said.count(most) / 10)


def test_an_answer_full_of_quotes_and_line_ends_is_counted_as_it_is(tmp_path):
    text = 'say "answer": "no" \\ "\nand\u2028end'
    rows = [Prediction("1", '"answer": "yes"', text), Prediction("2", "x", text), Prediction("3", text, "no")]
    files.write_predictions(tmp_path / "predictions.jsonl", rows)
    counts = files.count_answers(files.prediction_lines(tmp_path / "predictions.jsonl"))
    assert [(json.loads(answer), count) for answer, count in counts.items()] == [(text, 2), ("no", 1)]


def test_an_item_costs_what_its_cells_took_of_the_base_and_one_variant(finished_study):
    path, kept = finished_study
    study, store = load_study(path, cache=path.parent / "cache", notice=lambda line: None), Store(kept)
    results = collect(study, store, command="spillover run study.yaml")
    spent = {
        (step.predictions.model, step.predictions.cell): store.manifest(step.predictions)["provenance"]
        for step in study.scores
    }
    assert set(results.item_seconds) == {"first", "second", "words"}
    variants = [card.id for card in results.variants]
    for task, seconds in results.item_seconds.items():
        of = {
            model: sum(
                facts["cpu_seconds"] / 10
                for (name, cell), facts in spent.items()
                if (name, cell.tested_on) == (model, task)
            )
            for model in (BASE, *variants)
        }
        assert seconds == pytest.approx(of[BASE] + sum(of[name] for name in variants) / len(variants))
        assert seconds > 0


def test_a_study_without_drift_measures_none(tmp_path):
    study, store, outcome = run(make_study(tmp_path, more="drift: false"), tmp_path / "store")
    assert not outcome.failed
    assert not any(step.kind == "drift" for step in study.steps)
    results = collect(study, store, command="spillover run")
    assert not any("drift" in sentence for sentence in results.skipped)
    assert {card.id for card in results.variants} == {step.variant for step in study.models}
