import json
import shutil

import torch

from spillover.analysis.generalization import analyse
from spillover.config import load_study
from spillover.records import BASE
from spillover.report.formats import Format
from spillover.report.write import write_report
from spillover.study.results import collect
from spillover.study.runner import run_study
from spillover.study.store import Store
from spillover.study.work import Workshop
from tests.study.made_study import make_study
from tests.study.test_runner import Quiet


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
    (drift,) = (step for step in study.drifts if step.variant.variant == "fticl/first/16/0")
    shutil.rmtree(store.folder(drift.kind, drift.key))
    results = collect(study, store, command="spillover run study.yaml")
    moved = {card.id: bool(card.drift) for card in results.variants}
    assert moved == {"sft/first/16/0": True, "fticl/first/16/0": False}
    assert results.skipped == ("drift of fticl/first/16/0: not measured yet",)
    page = write_report(results, analyse(results), tmp_path / "report", formats=[Format.HTML, Format.MARKDOWN])[
        0
    ].read_text()
    assert "drift of fticl/first/16/0: not measured yet" in page
    shutil.rmtree(store.folder(study.scores[-1].kind, study.scores[-1].key))
    (left,) = collect(study, store, command="spillover run study.yaml").variants
    assert left.id == "sft/first/16/0"
