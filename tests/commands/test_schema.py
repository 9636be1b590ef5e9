import json
from pathlib import Path

import jsonschema
import pytest

from spillover.settings import load_yaml
from tests.commands.called import call

ROOT = Path(__file__).parents[2]
STUDY = {"variants": [{"name": "a", "train_on": "siqa", "sizes": 96}]}


@pytest.fixture(scope="module")
def schemas():
    from spillover.commands.schema import study_schema, suite_schema

    return {"study": study_schema(), "suite": suite_schema()}


def faults(schema, data):
    jsonschema.Draft202012Validator.check_schema(schema)
    plain = json.loads(json.dumps(data))  # as an editor sees it: the keys of a mapping are texts
    return [fault.message for fault in jsonschema.Draft202012Validator(schema).iter_errors(plain)]


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_example_is_valid(schemas, path):
    assert faults(schemas["study"], load_yaml(path)) == []


@pytest.mark.parametrize(
    "path", sorted((ROOT / "src" / "spillover" / "tasks" / "suites").glob("*.yaml")), ids=lambda path: path.stem
)
def test_every_suite_of_the_package_is_valid(schemas, path):
    assert faults(schemas["suite"], load_yaml(path)) == []


@pytest.mark.parametrize(
    "recipe",
    [
        {"demonstrations": 2},
        {"demonstrations": {"count": 2}},
        {"parameters": "lora", "constraint": "kl"},
        {"afterwards": {"kind": "interpolate", "alpha": 0.5}},
        {"afterwards": {"kind": "interpolate", "alpha": [0.25, 0.5]}},
        {"constraint": {"kind": "replay", "rows_of": "siqa"}},
    ],
)
def test_a_recipe_may_be_written_long_or_short(schemas, recipe):
    assert faults(schemas["study"], {"variants": [{**STUDY["variants"][0], "recipe": recipe}]}) == []


@pytest.mark.parametrize(
    "wrong",
    [
        {**STUDY, "tset_on": "all"},
        {**STUDY, "precision": "float8"},
        {**STUDY, "training": {"epoch": 1}},
        {"variants": [{**STUDY["variants"][0], "train_on": []}]},
        {"variants": [{**STUDY["variants"][0], "recipe": {"parameters": "lorra"}}]},
        {"variants": [{**STUDY["variants"][0], "recipe": {"demonstrations": {"cuont": 2}}}]},
        {"variants": [{"name": "a", "sizes": [96]}]},
    ],
)
def test_what_a_study_refuses_is_marked_in_the_editor(schemas, wrong):
    assert faults(schemas["study"], wrong)


def test_settings_say_what_they_are_for(schemas):
    assert schemas["study"]["properties"]["test_limit"]["description"].startswith("The most test rows of a cell")
    assert schemas["study"]["properties"]["training"]["properties"]["epochs"]["description"] == (
        "Passes over the training rows."
    )


def test_the_command_prints_either_schema(schemas, capsys):
    assert call("schema") == 0
    assert json.loads(capsys.readouterr().out) == json.loads(json.dumps(schemas["study"]))
    assert call("schema", "suite") == 0
    assert json.loads(capsys.readouterr().out) == json.loads(json.dumps(schemas["suite"]))
