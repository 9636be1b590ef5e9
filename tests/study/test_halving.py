import json

import pytest

from spillover.errors import UserError
from spillover.prompts.demonstrations import text_of
from spillover.steps.predict import Predict
from spillover.steps.validate import Validate
from spillover.steps.workshop import Workshop
from spillover.store.store import Store
from spillover.study.halving import budget_seconds, within_budget
from spillover.study.results import collect
from spillover.study.runner import run_study
from tests.store.test_store import Kept
from tests.study.test_mix import mix_study
from tests.study.test_recipes import write_study
from tests.study.test_runner import Quiet, load

REGISTERED = {"alone", "all", "extra-steps"}
MORE = "arms: [alone, pair, all, all-but, target+general, mathematics, extra-steps]\n  budgets: additive"
SAME = {
    **{"first": {"all-but-third": "with-second", "all-but-second": "with-third"}},
    **{"second": {"all-but-third": "with-first", "all-but-first": "with-third"}},
}
"""Of three tasks, all but one is a pair."""


@pytest.mark.parametrize(
    ("text", "seconds"), [("2h", 7200), ("90m", 5400), ("1h30m", 5400), ("45s", 45), ("0.5h", 1800)]
)
def test_a_budget_is_hours_minutes_and_seconds(text, seconds):
    assert budget_seconds(text) == seconds


@pytest.mark.parametrize("text", ["2", "h", "2 hours", "0h", "", "-1h"])
def test_a_budget_that_is_no_time_says_what_one_looks_like(text):
    with pytest.raises(UserError, match=r"--budget is '.*'; expected a time such as 2h, 90m or 1h30m"):
        budget_seconds(text)


def halved(folder, seconds, more=MORE):
    study, store = load(mix_study(folder, more=more)), Store(folder / "store")
    workshop, told = Workshop(store), []
    chosen = within_budget(study, store, workshop, Quiet(), seconds=seconds, notice=told.append)
    return study, chosen, store, workshop, told


def names(study, target="first"):
    return {plan.name for plan in study.variants if plan.part.target == target}


def test_a_study_without_competing_arms_is_refused(tmp_path):
    study, store = load(write_study(tmp_path, "variants: [{name: sft, train_on: first, sizes: 16}]\n")), Store(tmp_path)
    with pytest.raises(UserError, match="--budget drops arms of a `mix`; this study has none that compete"):
        within_budget(study, store, Workshop(store), Quiet(), seconds=1, notice=print)


def test_a_budget_that_is_enough_drops_nothing_and_validates_nothing(tmp_path):
    study, chosen, store, _, told = halved(tmp_path, 1e6)
    assert chosen.variants == study.variants
    assert not told
    assert not (store.root / "validate").exists()


@pytest.fixture(scope="module")
def least(tmp_path_factory):
    return halved(tmp_path_factory.mktemp("least"), 1e-6)


def test_a_budget_too_small_keeps_the_registered_arms_and_the_best_of_the_others(least):
    study, chosen, _, _, told = least
    for target in ("first", "second"):
        assert names(chosen, target) > REGISTERED
        assert len({SAME[target].get(name, name) for name in names(chosen, target)}) == len(REGISTERED) + 1
    assert sum("is not run" in line for line in told) == len(study.variants) - len(chosen.variants)


def validations(store):
    return {path.name for path in (store.root / "validate").iterdir()}


def test_arms_are_chosen_on_validation_before_any_variant_is_asked_a_test_row(least):
    study, _, store, _, _ = least
    asked = [step for step in study.steps if isinstance(step, Predict) and store.has(step)]
    assert asked
    assert all(step.variant is None for step in asked)
    assert len(list((store.root / "predict").iterdir())) == len(asked)
    assert len(validations(store)) == 2 * (4 + 2)  # of each target four mixtures, then the better two


def test_the_arm_that_is_kept_had_the_lower_loss(least):
    _, chosen, store, _, _ = least
    losses = {}
    for key in validations(store):
        kept = Kept("validate", key)
        name, target, size, _ = store.manifest(kept)["provenance"]["label"].removeprefix("validate ").split("/")
        losses[target, size, name] = json.loads(store.file(kept, "validation.json").read_text())["loss"]
    for target in ("first", "second"):
        (kept,) = {SAME[target].get(name, name) for name in names(chosen, target) - REGISTERED}
        last = {name: loss for (on, size, name), loss in losses.items() if (on, size) == (target, "4")}
        first = {name: loss for (on, size, name), loss in losses.items() if (on, size) == (target, "2")}
        assert kept == min(last, key=last.get)
        assert set(last) == set(sorted(first, key=first.get)[:2])


def test_validation_rows_are_neither_tested_on_nor_trained_on_by_any_arm(least):
    study, _, _, workshop, _ = least
    first = [step for step in study.finetunes if step.data.task.name == "first"]
    step = Validate(first[0], first[0].data, first[0].rows.template, study.designed)
    rows = step.rows(workshop)
    asked = {row.prompt for row in rows.rows}
    assert len(asked) == 44 - 16
    trained = {row.prompt for arm in first for row in arm.encoded(workshop)[0].rows}
    assert not asked & trained
    prepared = first[0].data.rows(workshop)
    validated = {text_of(row) for row in prepared.train} - {text_of(row) for row in prepared.test}
    assert len(validated) == 44


def test_what_a_budget_left_out_is_named_in_the_results(least):
    study, chosen, store, workshop, _ = least
    assert not run_study(chosen, store, workshop, Quiet()).failed
    results = collect(study, store, command="spillover run")
    gone = {step.variant for step in study.finetunes} - {step.variant for step in chosen.finetunes}
    for variant in gone - {card.id for card in results.variants}:
        assert any(variant in sentence for sentence in results.skipped)
    assert {step.variant for step in chosen.finetunes} <= {card.id for card in results.variants}
    measured = {
        card.id for card in results.variants if card.facts["mixing"]["validation"]
    }  # the study itself asks for none
    assert {step.variant for step in chosen.finetunes if step.name != "extra-steps"} <= measured
    assert not study.validations


def test_too_few_rows_for_validation_are_found_before_an_arm_is_trained(tmp_path):
    path = mix_study(tmp_path, more=MORE)
    path.write_text(path.read_text().replace("sizes: 16", "sizes: 40"))
    study, store = load(path), Store(tmp_path / "store")
    with pytest.raises(UserError, match="task 'first': 4 of its 44 training rows are left for validation after 40 "):
        within_budget(study, store, Workshop(store), Quiet(), seconds=1e-6, notice=lambda line: None)
    assert not (store.root / "finetune").exists()
