import json

import pytest

from tests.commands.called import call
from tests.commands.test_show import predictions, shown

A, B = "sft/first/16/0", "fticl/first/16/0"


def differences(capsys, *arguments):
    capsys.readouterr()
    assert call("diff", *arguments) == 0
    return capsys.readouterr().out


def test_differences_and_changed_items_are_those_of_the_two_variants_answers(finished_study, capsys):
    path, store = finished_study
    found = json.loads(differences(capsys, path, A, B, "--store", store, "--limit", 10, "--json"))
    assert len(found["cells"]) == 6
    for cell in (row for row in found["cells"] if row["metric"] == "accuracy"):
        name = f"{cell['cell']['tested_on']}:{cell['cell']['shots']}"
        items = [
            json.loads(shown(capsys, path, f"{variant}:{name}", "--store", store, "--limit", 0, "--json"))["items"]
            for variant in (A, B)
        ]
        first, second = ([item["variant"]["score"] for item in own] for own in items)
        ids = [item["example_id"] for item in items[0]]
        assert cell["difference"] == pytest.approx((sum(second) - sum(first)) / 10)
        lost = {name for name, one, other in zip(ids, first, second, strict=True) if other < one}
        assert {change["item"]["example_id"] for change in cell["regressions"]} == lost
        assert cell["regression_count"] == len(lost)
        assert cell["gain_count"] == sum(other > one for one, other in zip(first, second, strict=True))


def test_a_recipes_name_pairs_its_variants_by_task_size_and_seed(finished_study, capsys):
    path, store = finished_study
    found = json.loads(differences(capsys, path, "sft", "fticl", "--store", store, "--json"))
    assert {(row["first"], row["second"]) for row in found["cells"]} == {(A, B)}  # fticl has no variant of words


def test_only_one_direction_and_one_task_are_shown_where_asked_for(finished_study, capsys):
    path, store = finished_study
    options = ["--store", store, "--task", "first"]
    found = json.loads(differences(capsys, path, "base", A, *options, "--only", "gains", "--json"))
    assert {row["cell"]["tested_on"] for row in found["cells"]} == {"first"}
    assert all("regressions" not in row and "gains" in row for row in found["cells"])
    out = differences(capsys, path, "base", A, *options, "--only", "gains")
    assert "second" not in out
    assert "regressions" not in out
    answer = predictions(path, store, f"{A}:first:0")[0].target
    assert f"target {answer}" in out


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ((A, "fticl/frist/16/0"), "unknown finished variant or recipe 'fticl/frist/16/0'; did you mean"),
        ((A, A), "are the same variant; name two different ones"),
        (("fticl", "sft/words/16/0"), "shares training task, size and seed"),
        ((A, B, "--task", "frist"), "unknown tested task 'frist'; did you mean 'first'?"),
    ],
)
def test_what_cannot_be_compared_is_one_line(finished_study, capsys, names, message):
    path, store = finished_study
    capsys.readouterr()
    assert call("diff", path, *names, "--store", store) == 2
    assert message in capsys.readouterr().err
