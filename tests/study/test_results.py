import json

import torch

from spillover.config import load_study
from spillover.records import BASE
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
