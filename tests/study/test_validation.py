import pytest

from spillover.errors import UserError
from spillover.steps.workshop import Workshop
from spillover.study.results import collect
from tests.study.test_mix import FACTORIAL, mix_study
from tests.study.test_runner import load, run

SMALL = "arms: [alone, pair, all, extra-steps]\n  budgets: additive"
ASKED = f"validation: 12\n  {SMALL}"


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("validated")
    return run(mix_study(folder, more=ASKED), folder / "store")


def test_a_design_that_asks_for_it_measures_every_arm_but_the_controls_on_validation_rows(finished):
    study, store, outcome = finished
    assert not [(step.label, reason) for step, reason in outcome.failed]
    cards = collect(study, store, command="spillover run").variants
    measured = {card.id for card in cards if "validation" in card.mixture}
    assert measured == {card.id for card in cards if card.mixture["arm"] != "extra-steps"}
    assert all(card.mixture["validation"]["rows"] == 12 for card in cards if card.id in measured)
    losses = {card.mixture["validation"]["loss"] for card in cards if card.id in measured}
    assert len(losses) == len({step.key for step in study.validations})
    assert all(0 < loss < 20 for loss in losses)


def test_what_was_measured_is_read_by_the_same_study_that_does_not_ask_for_it_where_the_rows_are_the_usual(finished):
    study, store, _ = finished
    path = store.root.parent / "study.yaml"
    asked = path.read_text()
    path.write_text(asked.replace("validation: 12", "validation: 100"))
    usual, path_of_none = load(path), asked.replace("validation: 12\n", "validation: 0\n")
    path.write_text(path_of_none)
    unasked = load(path)
    path.write_text(asked)
    assert not unasked.validations
    keys = [unasked.validation_of(model).key for model in unasked.models if unasked.validation_of(model)]
    assert keys == [step.key for step in usual.validations]
    assert not set(keys) & {step.key for step in study.validations}  # other rows are another measurement


def test_asking_for_validation_changes_no_other_step(finished, tmp_path):
    study, _, _ = finished
    plain = load(mix_study(tmp_path, more=SMALL))
    assert [step.key for step in plain.steps] == [step.key for step in study.steps if step.kind != "validate"]


def test_validation_rows_are_the_same_for_all_arms_of_a_target_and_no_arm_trains_or_is_tested_on_them(finished):
    study, store, _ = finished
    workshop, by_target = Workshop(store), {}
    for step in study.validations:
        rows = {row.prompt for row in step.rows(workshop).rows}
        by_target.setdefault(step.target.task.name, []).append(rows)
    trained = {row.prompt for step in study.finetunes for row in step.encoded(workshop)[0].rows}
    for target, found in by_target.items():
        assert all(rows == found[0] for rows in found)
        assert len(found[0]) == 12
        assert not found[0] & trained
        asked = next(s.predictions for s in study.scores if s.predictions.data.task.name == target)
        assert not found[0] & set(asked.encoded(workshop)[0].prompts)


def test_a_factorial_is_validated_for_every_target_and_size(tmp_path):
    study = load(mix_study(tmp_path, FACTORIAL.replace("general: words", "general: words\n  validation: 12")))
    validated = {step.variant.variant for step in study.validations}
    assert validated == {step.variant for step in study.finetunes if "extra-steps" not in step.name}


@pytest.mark.parametrize(
    ("count", "message"),
    [
        (3, "validation.*fewer than 8 rows choose by luck; name more, or 0"),
        (-1, "validation is -1; it should be greater than or equal to 0"),
    ],
)
def test_too_few_validation_rows_are_refused(tmp_path, count, message):
    with pytest.raises(UserError, match=message):
        load(mix_study(tmp_path, more=f"validation: {count}"))


def test_a_target_without_rows_to_spare_is_found_before_anything_is_computed(tmp_path):
    path = mix_study(tmp_path, more=ASKED)
    path.write_text(path.read_text().replace("sizes: 16", "sizes: 40"))
    with pytest.raises(UserError, match="4 of its 44 training rows are left for validation after 40 to train on"):
        run(path, tmp_path / "store")
    assert not (tmp_path / "store" / "predict").exists()
