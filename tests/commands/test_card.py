import json

import pytest
import yaml
from huggingface_hub import EvalResult, ModelCard, ModelCardData

from spillover.report.card import BEGIN, END
from tests.commands.called import call

VARIANT = "sft/first/16/0"


@pytest.fixture(scope="module")
def report(finished_study, tmp_path_factory):
    path, store = finished_study
    folder = tmp_path_factory.mktemp("card") / "report"
    assert call("report", path, "--store", store, "--report", folder) == 0
    return folder


def card(tmp_path, *options):
    assert call("card", *options, "--to", tmp_path / "README.md") == 0
    return ModelCard.load(tmp_path / "README.md")


def test_every_tested_task_is_a_result_with_the_base_beside_it(finished_study, report, tmp_path):
    path, store = finished_study
    found = card(tmp_path, path, "--store", store, "--variant", VARIANT)
    rows = [
        dict(zip(line["header"], line["row"], strict=True))
        for lines in [[row.split(",") for row in (report / "measurements.csv").read_text().splitlines()]]
        for line in [{"header": lines[0], "row": row} for row in lines[1:]]
    ]
    expected = {
        (row["tested_on"], f"{row['shots']} shot{'s' * (row['shots'] != '1')}"): (row["value"], row["base_value"])
        for row in rows
        if row["variant"] == VARIANT and row["is_primary"] == "True"
    }
    got = {
        (result.dataset_name, result.dataset_config): (repr(result.metric_value), repr(result.metric_args["base"]))
        for result in found.data.eval_results
    }
    assert len(expected) == 6
    assert got == expected
    assert found.data.model_name == "sft"
    (verdict,) = (
        one for one in json.loads((report / "summary.json").read_text())["verdicts"] if one["variant"] == VARIANT
    )
    words = found.text.replace("\\", "")
    assert verdict["sentence"] in words
    assert sum(line.startswith("| first ") for line in words.splitlines()) == 2


def test_a_stored_report_makes_the_same_card_as_its_study(finished_study, report, capsys):
    path, store = finished_study
    capsys.readouterr()
    assert call("card", path, "--store", store, "--variant", "fticl") == 0
    from_study = capsys.readouterr().out
    assert call("card", report / "summary.json", "--variant", "fticl/first/16/0") == 0
    assert capsys.readouterr().out == from_study
    assert yaml.safe_load(from_study.split("---\n")[1])["model-index"][0]["name"] == "fticl"


def test_what_else_a_card_says_stays_and_our_part_is_written_anew(report, tmp_path):
    other = EvalResult("text-generation", "theirs", "Theirs", "accuracy", 0.5)
    data = ModelCardData(license="mit", tags=["mine"], model_name="named", eval_results=[other])
    readme = tmp_path / "README.md"
    readme.write_text(f"---\n{data.to_yaml()}\n---\n\n# Mine\n\nBefore.\n")
    card(tmp_path, report / "summary.json", "--variant", VARIANT)
    text = readme.read_text()
    readme.write_text(f"{text}\nAfter.\n")
    found = card(tmp_path, report / "summary.json", "--variant", "sft/words/16/0")
    assert (found.data.license, found.data.tags, found.data.model_name) == ("mit", ["mine"], "named")
    assert [result.dataset_type for result in found.data.eval_results].count("theirs") == 1
    assert len(found.data.eval_results) == 7
    before, _, rest = found.text.partition(BEGIN)
    part, _, after = rest.partition(END)
    assert "# Mine\n\nBefore." in before
    assert after.strip() == "After."
    assert "sft/words/16/0" in part
    assert VARIANT not in part


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "a card is of one variant; name it with --variant: sft/first/16/0, sft/words/16/0, fticl/first/16/0"),
        (("--variant", "sft"), "a card is of one variant; name it with --variant: sft/first/16/0, sft/words/16/0"),
        (("--variant", "fitcl"), "did you mean 'fticl"),
        (("--variant", "fticl", "--to", "/nowhere/README.md"), "cannot be written"),
    ],
)
def test_a_mistake_is_one_line(report, capsys, options, message):
    assert call("card", report / "summary.json", *options) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1


def test_a_card_or_a_summary_that_cannot_be_read_is_refused_and_stays(report, tmp_path, capsys):
    broken = tmp_path / "README.md"
    broken.write_text("---\nmodel-index: 3\n---\n\nMine.\n")
    assert call("card", report / "summary.json", "--variant", "fticl", "--to", broken) == 2
    assert "metadata cannot be read" in capsys.readouterr().err
    assert broken.read_text().endswith("Mine.\n")
    (tmp_path / "summary.json").write_text('{"verdicts": []}')
    assert call("card", tmp_path / "summary.json") == 2
    assert "is no summary.json of this version's reports" in capsys.readouterr().err
