import json

import pytest

from spillover.config import load_study
from spillover.store import files
from spillover.store.store import Store
from spillover.study.cells import find_score
from tests.commands.called import call

CELL = "sft/first/16/0:first:2"


def shown(capsys, *arguments):
    capsys.readouterr()
    assert call("show", *arguments) == 0
    return capsys.readouterr().out


def predictions(path, store, cell):
    study = load_study(path, cache=path.parent / "cache", notice=lambda line: None)
    step = find_score(study, cell).predictions
    return files.read_predictions(Store(store).file(step, files.PREDICTIONS))


def test_every_item_of_a_cell_is_shown_with_its_prompt_and_both_answers(finished_study, capsys):
    path, store = finished_study
    out = shown(capsys, path, CELL, "--store", store, "--limit", 0)
    rows = predictions(path, store, CELL)
    for row in rows:
        assert f"{row.example_id} ─" in out
    assert out.count("target:") == out.count("base:") == out.count("variant:") == len(rows) == 10
    assert "10 of 10 items, scored by accuracy" in " ".join(out.split())
    demonstration = out.split("\n")[3]
    assert demonstration.startswith("Text:")
    assert out.count(demonstration) == 1  # what all prompts begin with is shown once


def test_json_holds_prompts_token_ids_and_answers_as_they_were_kept(finished_study, capsys):
    path, store = finished_study
    found = json.loads(shown(capsys, path, "fticl/first/16/0:words:2", "--store", store, "--limit", 0, "--json"))
    rows = predictions(path, store, "fticl/first/16/0:words:2")
    assert (found["tested_on"], found["shots"], found["item_count"]) == ("words", 2, 10)
    assert [item["variant"]["text"] for item in found["items"]] == [row.raw_answer for row in rows]
    assert [item["target"] for item in found["items"]] == [row.target for row in rows]
    assert all(item["prompt"].endswith("Word:") for item in found["items"])
    assert all(item["token_ids"] for item in found["items"])


def test_a_recipes_name_stands_for_its_only_variant(finished_study, capsys):
    path, store = finished_study
    named, full = (shown(capsys, path, f"{name}:first:2", "--store", store) for name in ("fticl", "fticl/first/16/0"))
    assert named == full
    assert call("show", path, "sft:first:2", "--store", store) == 2
    assert capsys.readouterr().err == (
        "error: 2 variants are named 'sft'; take one of: sft/first/16/0, sft/words/16/0\n"
    )


def test_only_regressions_are_those_the_base_has_right_and_the_variant_wrong(finished_study, capsys):
    path, store = finished_study
    everything = json.loads(shown(capsys, path, CELL, "--store", store, "--limit", 0, "--json"))["items"]
    for only, sign in (("regressions", -1), ("gains", 1)):
        found = json.loads(shown(capsys, path, CELL, "--store", store, "--only", only, "--json"))["items"]
        wanted = [item for item in everything if sign * (item["variant"]["score"] - item["base"]["score"]) > 0]
        assert found == wanted


def test_a_named_item_is_shown_alone_with_its_token_ids(finished_study, capsys):
    path, store = finished_study
    name = predictions(path, store, CELL)[3].example_id
    out = shown(capsys, path, CELL, "--store", store, "--item", name, "--token-ids")
    assert out.count("target:") == 1
    assert "token ids: " in out


def test_the_bases_own_cell_has_one_answer_an_item(finished_study, capsys):
    path, store = finished_study
    out = shown(capsys, path, "base:first:0", "--store", store)
    assert "variant:" not in out
    assert out.count("base:") == 10


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sft/frist/16/0:first:0"], "unknown variant of the study 'sft/frist/16/0'; did you mean 'sft/first/16/0'"),
        (["base:frist:0"], "unknown tested task 'frist'; did you mean 'first'?"),
        (["base:first:3"], "unknown shot count '3'; known: 0, 2"),
        (["base:first:0:1:0:none"], "unknown ask 'none'; known: plain"),
        (["base:first:0:1:0:plain:9"], "has 7 parts; expected variant:task:shots[:form[:demonstration_seed[:ask]]]"),
        (["base:first"], "2 cells are named 'base:first'; go on with one of: base:first:0, base:first:2"),
        (["base:first:0", "--item", "first.jsonl:99999"], "unknown item of the cell 'first.jsonl:99999'"),
        (["base:first:0", "--only", "gains"], "--only compares a variant with the base; name a variant's cell"),
    ],
)
def test_a_name_that_is_not_there_is_one_line_with_what_is(finished_study, capsys, arguments, message):
    path, store = finished_study
    capsys.readouterr()
    assert call("show", path, *arguments, "--store", store) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_an_unfinished_cell_says_so(finished_study, tmp_path, capsys):
    path, _ = finished_study
    assert call("show", path, "base:first:0", "--store", tmp_path / "none") == 2
    assert "cell 'base:first:0' is not finished in" in capsys.readouterr().err
