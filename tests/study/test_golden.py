"""Keys of every kind of step, pinned: a key that changes has stored results of users computed again.

Where a change is meant, raise a step's version and write the file anew: python -m tests.study.golden.write.
"""

import hashlib
import json
from copy import deepcopy
from typing import get_args

import pytest

from spillover.steps.finetune import Finetune
from spillover.steps.step import Step
from spillover.steps.supervise import Supervise
from spillover.tasks.mixture import Member, Mixture
from spillover.training.optimization import TrainingSettings
from spillover.training.settings import AnyChange, AnyConstraint, Demonstrations, Parameters
from spillover.training.supervised import EncoderSettings, TfidfSettings
from tests.study.golden import pinned
from tests.study.golden.steps import golden_steps

RECIPE_SETTINGS = [kind for slot in (Parameters, AnyConstraint, AnyChange) for kind in get_args(get_args(slot)[0])]


@pytest.fixture(scope="module")
def steps(tmp_path_factory):
    return golden_steps(tmp_path_factory.mktemp("golden"))


@pytest.fixture(scope="module")
def found(steps):
    return pinned.described(steps)


def test_every_step_has_the_key_it_had(found):
    lines = pinned.differences(pinned.read(), found)
    assert not lines, "\n" + "\n".join(lines)


def test_the_file_is_as_its_command_writes_it():
    assert pinned.FILE.read_text(encoding="utf-8") == pinned.written(pinned.read())


def subclasses(kind):
    return {kind, *(below for inner in kind.__subclasses__() for below in subclasses(inner))} - {Step}


def test_every_kind_of_step_is_pinned(found):
    own = (kind for kind in subclasses(Step) if kind.__module__.startswith("spillover."))
    kinds = {kind.kind for kind in own if "kind" in vars(kind)}
    assert {step["kind"] for step in found.values()} == kinds
    assert len(kinds) >= 10


def settings_of(steps):
    """Return every settings object that decides a training, or what is done after it."""
    trainings = [step for step in steps.values() if isinstance(step, Finetune)]
    recipes = [step.recipe for step in trainings]
    slots = [part for recipe in recipes for part in (recipe.parameters, recipe.constraint, recipe.afterwards)]
    mixtures = [step.rows.mixture for step in trainings if step.rows.mixture]
    members = [member for mixture in mixtures for member in mixture.added]
    return [
        *slots,
        *(recipe.demonstrations for recipe in recipes),
        *(s.settings for s in trainings),
        *mixtures,
        *members,
        *(step.settings for step in steps.values() if isinstance(step, Supervise)),
    ]


@pytest.mark.parametrize(
    "kind", [*RECIPE_SETTINGS, Demonstrations, TrainingSettings, Mixture, Member, EncoderSettings, TfidfSettings]
)
def test_every_setting_of_a_training_is_pinned_with_another_value_than_its_default(kind, steps):
    """A new setting, and a new choice of an old one, needs its place in the golden studies."""
    own = [settings for settings in settings_of(steps) if type(settings) is kind]
    assert own
    for name, setting in kind.model_fields.items():
        taken = [getattr(settings, name) for settings in own]
        choices = [choice for choice in get_args(setting.annotation) if isinstance(choice, str)]
        assert set(choices) <= set(map(str, taken)), name
        assert name == "kind" or any(value != setting.default for value in taken), name


def test_a_key_is_the_digest_of_what_is_pinned_beside_it():
    """Against another writing of the canonical bytes: sorted keys, floats in hexadecimal, nothing but ASCII."""

    def plain(value):
        if isinstance(value, float):
            return {"float": value.hex()}
        if isinstance(value, list):
            return [plain(item) for item in value]
        return {key: plain(item) for key, item in value.items()} if isinstance(value, dict) else value

    held = pinned.read()
    for label, step in held.items():
        study = label.partition(": ")[0]
        inputs = {name: held[f"{study}: {needed}"]["key"] for name, needed in step["inputs"].items()}
        content = {"kind": step["kind"], "version": step["version"], "fields": plain(step["fields"]), "inputs": inputs}
        text = json.dumps(content, sort_keys=True, separators=(",", ":"))
        assert hashlib.sha256(text.encode()).hexdigest() == step["key"], label


LORA = "recipes: fine-tune lora/first/16/3"


def changed(found, label, **parts):
    """Return the steps with one of them changed, and the keys of all that read it, as a real change would have it."""
    now = deepcopy(found)
    now[label].update(parts, key="another")
    study, words = label.split(": ")
    for other, step in now.items():
        if other.startswith(f"{study}: ") and words in step["inputs"].values():
            step["key"] = "following"
    return now


def test_a_difference_names_the_step_and_the_field(found):
    fields = deepcopy(found[LORA]["fields"])
    fields["recipe"]["parameters"]["rank"] = 8
    del fields["seed"]
    fields["settings"]["epochs"] = 2.0
    assert pinned.differences(found, changed(found, LORA, fields=fields, version=2)) == [
        f"{LORA}: version was 1, is 2",
        f"{LORA}: fields: recipe.parameters.rank was 16, is 8",
        f"{LORA}: fields: seed was 3, is no longer there",
        f"{LORA}: fields: settings.epochs was 2, is 2.0",
    ]


def test_a_difference_of_many_steps_is_one_line(found):
    now = deepcopy(found)
    drifts = sorted(label for label, step in found.items() if step["kind"] == "drift")
    for label in drifts:
        now[label].update(key=f"another of {label}", version=4)
    (line,) = pinned.differences(found, now)
    assert line == f"{drifts[0]}: version was 3, is 4 (and so in {len(drifts) - 1} more of kind drift)"


def test_steps_that_only_follow_are_counted_behind_the_cause(found):
    label = "asked: prepare quiz"
    fields = {**found[label]["fields"], "new": True}
    cause, following = pinned.differences(found, changed(found, label, fields=fields))
    assert cause == f"{label}: fields: new is new: true"
    assert following == "3 steps that read these have other keys for that alone, such as " + min(
        other
        for other, step in found.items()
        if other.startswith("asked: ") and "prepare quiz" in step["inputs"].values()
    )


def test_other_inputs_and_another_digest_of_the_same_are_differences(found):
    assert pinned.differences(found, changed(found, LORA)) == [
        f"{LORA}: another key of the same kind, version, fields and inputs"
    ]
    (line,) = pinned.differences(found, changed(found, LORA, inputs={"data": "prepare words"}))
    assert line == f'{LORA}: inputs: data was "prepare first", is "prepare words"'


def test_a_step_that_is_gone_new_or_called_otherwise_is_a_difference(found):
    without = {label: step for label, step in found.items() if label != LORA}
    assert pinned.differences(found, without) == [f"{LORA}: is gone"]
    assert pinned.differences(without, found) == [f"{LORA}: is new"]
    renamed = {**without, "recipes: train lora": found[LORA]}
    assert pinned.differences(found, renamed) == [
        f"{LORA}: is gone, its key is that of 'recipes: train lora' now",
        "recipes: train lora: is new",
    ]
