import pytest

from spillover.errors import UserError
from spillover.steps.workshop import Workshop
from spillover.store.store import Store
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
    measured = {card.id for card in cards if card.facts["mixing"]["validation"]}
    assert measured == {card.id for card in cards if card.facts["mixing"]["kind"] != "extra-steps"}
    assert all(card.facts["mixing"]["validation"]["rows"] == 12 for card in cards if card.id in measured)
    losses = {card.facts["mixing"]["validation"]["loss"] for card in cards if card.id in measured}
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


WIDE = """
mix:
  - targets: [first, second]
    general: words
    sizes: [6, 10]
    cap: 14
    validation: 8
  - name: shown
    targets: first
    others: third
    sizes: 12
    validation: 8
    recipe: {{demonstrations: 2}}
    training: {{max_length: 1024}}
  - name: broad
    targets: [[second, first]]
    specialist_rows: 20
    general: words
    general_rows: [0, 6]
    budgets: [additive, steps]
    validation: 8
shots: [0]
test_on: [first, second, words]
seeds: [0, 1]
"""


@pytest.mark.parametrize("max_length", [1024, 42])  # others take the place of rows that are too long
def test_no_arm_of_any_size_seed_or_design_trains_on_a_row_that_any_arm_is_validated_on(tmp_path, max_length):
    path = mix_study(tmp_path, WIDE)
    path.write_text(path.read_text().replace("batch_size: 4", f"batch_size: 4, max_length: {max_length}"))
    study = load(path)
    workshop = Workshop(Store(tmp_path / "store"))
    trained = {row.prompt for step in study.finetunes for row in step.encoded(workshop)[0].rows}
    validated = {row.prompt for step in study.validations for row in step.rows(workshop).rows}
    assert {(step.variant.size, step.variant.seed) for step in study.validations} == {
        (size, seed) for size in (6, 10, 12) for seed in (0, 1)
    }
    # A prompt of the made tasks ends in its own row, whatever is shown before it, and no two rows have the same text.
    assert not [row for row in validated if any(prompt[-len(row) :] == row for prompt in trained)]
    dropped_counts = [sum(step.rows(workshop).dropped.values()) for step in study.validations]
    assert any(dropped_counts) == (max_length < 1024)
    rows = zip(study.validations, dropped_counts, strict=True)
    assert all(len(step.rows(workshop).rows) == 8 - dropped for step, dropped in rows)


ALL_OF_FIRST = "{targets: first, others: third, sizes: 8, validation: 44, arms: [alone, pair], budgets: additive}"
REPLAYED = """
mix:
  - {{targets: first, others: third, sizes: 6, validation: 8}}
  - name: replaying
    targets: second
    others: third
    sizes: 6
    recipe: {{constraint: {{kind: replay, rows_of: {more}}}}}
shots: [0]
test_on: [first, second]
"""


def test_rows_that_an_arm_replays_are_trained_on_too(tmp_path):
    for replayed in ("words", "first"):
        study = load(mix_study(tmp_path / replayed, REPLAYED, more=replayed))
        workshop, step = Workshop(Store(tmp_path / "store")), study.validations[0]
        if replayed == "words":
            assert len(step.rows(workshop).rows) == 8
        else:
            with pytest.raises(
                UserError, match=r"0 of its 44 training rows are left .* after 44 .*replay another task"
            ):
                step.rows(workshop)


def test_a_row_that_equals_one_of_another_source_is_left_out_where_an_arm_trains_on_that_and_only_there(tmp_path):
    path = mix_study(tmp_path, "mix: {more}\nshots: [0]\ntest_on: [first, second]\n", more=ALL_OF_FIRST)
    path.with_name("third.jsonl").write_text(path.with_name("first.jsonl").read_text().replace("first", "third"))
    study = load(path)
    workshop = Workshop(Store(tmp_path / "store"))
    (step,) = {step.key: step for step in study.validations if step.variant.name == "with-third"}.values()
    mixed, _ = step.variant.encoded(workshop)
    own = step.rows(workshop).rows
    assert mixed.report["dropped"]["third"]  # the tasks hold the same texts
    assert mixed.report["rows"] == {"first": 8, "third": 8}
    assert len(own) == 44 - 16
    assert not {row.prompt for row in own} & {row.prompt for row in mixed.rows}


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
    with pytest.raises(
        UserError, match="4 of its 44 training rows are left for validation after 40 that arms train on"
    ):
        run(path, tmp_path / "store")
    assert not (tmp_path / "store" / "predict").exists()
