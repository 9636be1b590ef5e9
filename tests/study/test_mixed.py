import json
import os

import pytest

from spillover.errors import UserError
from spillover.questions import MIXING, answered
from spillover.report.training import source_rows
from spillover.steps.workshop import Workshop
from spillover.store.store import Store
from spillover.study.results import collect
from spillover.tasks.prepare import prepare
from tests.robust.processes import SERVER
from tests.study.made_study import make_study
from tests.study.test_recipes import write_study
from tests.study.test_runner import load, run

VARIANTS = """
variants:
  - {name: plain, train_on: first, sizes: 16}
  - {name: joint, train_on: {target: first, with: [second, {task: words, share: 0.25}]}, sizes: 16}
  - {name: matched, train_on: {target: first, with: [words], by: tokens, budget: matched}, sizes: 16}
  - {name: steps, train_on: {target: first, with: [second], budget: steps}, sizes: 16}
  - name: staged
    train_on: {target: first, with: [second, {task: words, general: true, cap: 9}], order: sequential}
    sizes: 16
  - {name: shown, train_on: {target: first, with: [words]}, sizes: 16, recipe: {demonstrations: 2}}
mix: {targets: [first], general: words, sizes: 16, budgets: additive, arms: [alone, target+general, general-alone]}
shots: [0]
test_on: [first, words]
watch: 3
"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mixed")
    return run(write_study(folder, VARIANTS), folder / "store")


@pytest.fixture(scope="module")
def cards(finished):
    study, store, outcome = finished
    assert not [(step.label, reason) for step, reason in outcome.failed]
    return {card.name: card for card in collect(study, store, command="spillover run").variants}


def test_a_plain_variant_has_no_mixture(cards):
    assert cards["plain"].mixture == {}
    assert "mixing" not in cards["plain"].facts


def test_the_achieved_rows_tokens_and_shares_of_every_source_reach_the_card(cards):
    found = cards["joint"].mixture
    assert found["rows"] == {"first": 16, "second": 16, "words": 11}  # 32 / 0.75 x 0.25 = 10.67
    assert found["row_shares"]["words"] == pytest.approx(0.25, abs=0.01)
    assert sum(found["token_shares"].values()) == pytest.approx(1)
    assert sum(found["target_tokens"].values()) == cards["joint"].training["target_token_count"]  # one epoch
    assert found["stage_steps"] == [11]
    arm = cards["joint"].facts["mixing"]
    assert (arm["target"], arm["kind"], arm["added"], arm["general"]) == ("first", "mixture", ("second", "words"), ())


def test_the_report_has_a_row_for_every_source_of_every_mixture_with_its_stage(finished):
    study, store, _ = finished
    rows = source_rows(collect(study, store, command="spillover run"))
    stages = {row.source: row.stage for row in rows if row.variant.startswith("staged/")}
    assert stages == {"words": 1, "first": 2, "second": 2}
    assert [row.source for row in rows if row.variant.startswith("steps/")] == ["first"]


def test_a_matched_variant_learns_as_many_target_tokens_as_the_target_alone(cards):
    plain, matched = (cards[name].training["target_token_count"] for name in ("plain", "matched"))
    assert matched == plain
    assert sum(cards["matched"].mixture["target_tokens"].values()) == plain


def test_the_control_of_steps_takes_as_many_steps_as_the_mixture_on_the_target_alone(cards):
    assert cards["steps"].mixture["rows"] == {"first": 32}
    assert cards["steps"].mixture["repeated_rows"] == {"first": 16}
    assert cards["steps"].training["step_count"] == 2 * cards["plain"].training["step_count"]


def test_stages_are_trained_one_after_the_other_and_logged_as_one(cards):
    found = cards["staged"]
    assert found.mixture["stages"] == [["words"], ["first", "second"]]
    assert found.mixture["stage_steps"] == [3, 8]  # 9 and 32 rows, four a step
    assert found.facts["mixing"]["specialist_rows"] == 32
    assert found.facts["mixing"]["general_rows"] == 9
    assert len(found.training["losses"]) == found.training["step_count"] == 11
    assert [entry["step"] for entry in found.training["forgetting"]] == [0, 3, 6, 9, 11]


def test_what_an_arm_keeps_of_general_text_reaches_the_section_on_mixing(finished):
    study, store, _ = finished
    results = collect(study, store, command="spillover run")
    looks = {card.name: card.training["forgetting"] for card in results.variants}
    kept = {item.arm.name: item.arm.general_text for item in answered(results, resample_count=20).of(MIXING).arms}
    assert kept["joint"].rise == looks["joint"][-1]["general_loss"] - looks["joint"][0]["general_loss"] != 0
    assert kept["staged"].kl_to_base == looks["staged"][-1]["kl_to_base"] > 0
    assert all(item.is_held_out for item in kept.values())


def test_arms_say_which_they_are_and_share_the_plain_training(finished, cards):
    study, _, outcome = finished
    keys = {step.name: step.key for step in study.finetunes}
    assert keys["alone"] == keys["plain"]
    arms = {name: card.facts["mixing"] for name, card in cards.items() if name != "plain"}
    assert cards["alone"].mixture == {}
    assert (arms["alone"]["kind"], arms["alone"]["rows"]) == ("alone", {"first": 16})
    assert arms["alone"]["coverage"] == pytest.approx(1)
    assert arms["target+general"]["general_rows"] == 16
    only = arms["words-alone-for-first"]
    assert (cards["words-alone-for-first"].trained_on, only["target"]) == ("words", "first")
    assert (only["specialist_rows"], only["general_rows"], only["coverage"]) == (0, 16, None)
    assert [name for name, card in cards.items() if card.is_control] == ["words-alone-for-first"]
    assert sum(step.kind == "finetune" for step in outcome.computed) == 8


def test_every_source_keeps_its_own_prompt_and_its_own_demonstrations(finished):
    study, store, _ = finished
    workshop, step = Workshop(store), next(step for step in study.finetunes if step.name == "shown")
    rows, _ = step.encoded(workshop)
    decode = workshop.encoder(step.base.path).decode
    prompts = [decode(row.prompt) for row in rows.rows]
    assert len(prompts) == 32
    for prompt, (data, _) in zip((prompts[0], prompts[16]), [(step.data, ""), *step.rows.added], strict=True):
        prepared = prepare(step.data.suite, data.task, cache=data.cache)
        for shot in prepared.demonstrations[:2]:
            assert shot.fields["text"] in prompt
    assert prompts[0].count("Mood:") == 3
    assert prompts[16].count("Word:") == 3
    assert "Mood:" not in prompts[16]


def test_a_source_with_too_few_demonstrations_is_refused_before_anything_is_written(tmp_path):
    path = write_study(tmp_path, VARIANTS.replace("{demonstrations: 2}", "{demonstrations: 4}"))
    suite = path.with_name("made.yaml")
    start = suite.read_text().index("  words:")
    suite.write_text(
        suite.read_text()[:start] + suite.read_text()[start:].replace("demonstrations: 4", "demonstrations: 3")
    )
    with pytest.raises(
        UserError, match="'shown': its mixture, task 'words': 4 demonstrations asked for, but there are 3"
    ):
        run(path, tmp_path / "store")
    assert not (tmp_path / "store").exists()


def write_digests(path, written):
    """Write them as a second process of several would see them, behind how it hashes a string."""
    os.environ["RANK"] = "1"
    written.write_text(f"{hash('a')} {digests(path)}")


def digests(path):
    """Return the rows of every training in order, as one line."""
    study = load(path)
    workshop = Workshop(Store(path.parent / "nowhere"))
    return json.dumps({step.name: [row.prompt for row in step.encoded(workshop)[0].rows] for step in study.finetunes})


def test_the_same_mixture_gives_the_same_rows_in_the_same_order_in_another_process(tmp_path):
    path = write_study(tmp_path, VARIANTS)
    process = SERVER.Process(target=write_digests, args=(path, tmp_path / "digests"))
    process.start()
    process.join()
    other_hash, found = (tmp_path / "digests").read_text().split(maxsplit=1)
    assert int(other_hash) != hash("a")
    assert found == digests(path)


def test_rows_that_another_source_tests_on_or_has_itself_are_dropped_and_counted(tmp_path):
    path = make_study(tmp_path)
    before = load(path)
    prepared = {
        step.task.name: prepare(step.suite, step.task, cache=step.cache)
        for step in {task.name: data for task in before.suite_tasks for data in (task.data,)}.values()
    }
    first = prepared["first"]
    copied = [*first.test[:3], *first.demonstrations[:2], *first.train]  # case and spaces differ, texts do not
    lines = [json.dumps({"text": row.fields["text"].upper() + "  ", "answer": "up"}) for row in copied]
    extra = path.with_name("second.jsonl")
    extra.write_text("\n".join(lines) + "\n" + extra.read_text())
    path.with_name("held.jsonl").write_text(json.dumps({"text": "a sun of its own", "answer": "up"}) + "\n")
    suite = path.with_name("made.yaml")
    suite.write_text(suite.read_text().replace("pool: second.jsonl}", "train: second.jsonl, test: held.jsonl}"))
    path.write_text(path.read_text().replace("train_on: [first, words]", "train_on: {target: first, with: second}"))
    store = Store(tmp_path / "store")
    step = next(step for step in load(path).finetunes if step.rows.mixture)
    rows, dropped = step.encoded(Workshop(store))
    assert dropped["equals a test row or demonstration of first"] == 5
    assert dropped["equals a row of first"] == 16
    assert rows.report["dropped"]["second"] == dropped
    assert rows.report["rows"] == {"first": 16, "second": 16}


def test_a_source_whose_rows_are_all_another_sources_is_refused(tmp_path):
    path = make_study(tmp_path)
    path.with_name("second.jsonl").write_text(path.with_name("first.jsonl").read_text())
    path.write_text(path.read_text().replace("train_on: [first, words]", "train_on: {target: first, with: second}"))
    path.write_text(path.read_text().replace("sizes: [16]", "sizes: [44]"))
    step = next(step for step in load(path).finetunes if step.rows.mixture)
    with pytest.raises(
        UserError, match="'sft': its mixture, task 'second': all of its 44 training rows are held out or"
    ):
        step.encoded(Workshop(Store(tmp_path / "store")))
