import json
import re

import pytest
import torch

from spillover.errors import UserError
from spillover.models.load import load_model
from spillover.report.training import recipe_rows
from spillover.steps.derive import Derive
from spillover.steps.finetune import Finetune
from spillover.steps.workshop import Workshop
from spillover.store.store import Store
from spillover.study.export import export
from spillover.study.results import collect
from spillover.study.runner import disk_bytes
from tests.study.made_study import make_study
from tests.study.test_runner import load, run

VARIANTS = """
variants:
  - {name: sft, train_on: [first], sizes: [16]}
  - {name: lora, train_on: first, sizes: [16], recipe: {parameters: {kind: lora, rank: 2}}}
  - name: dora
    train_on: first
    sizes: [16]
    recipe: {parameters: {kind: lora, rank: 2, use_dora: true}, afterwards: interpolate}
  - {name: pissa, train_on: first, sizes: [16], recipe: {parameters: {kind: lora, rank: 2, init_lora_weights: pissa}}}
  - {name: last, train_on: first, sizes: [16], recipe: {parameters: {kind: last-layers, count: 1}}}
  - {name: spider, train_on: first, sizes: [16], recipe: {constraint: spider}}
  - {name: magnitude, train_on: first, sizes: [16], recipe: {constraint: magnitude-mask}}
  - {name: random, train_on: first, sizes: [16], recipe: {constraint: random-mask}}
  - {name: half, train_on: first, sizes: [16], recipe: {constraint: half}}
  - {name: l2, train_on: first, sizes: [16], recipe: {constraint: l2-sp}}
  - {name: replay-text, train_on: first, sizes: [16], recipe: {constraint: {kind: replay, share: 0.2}}}
  - {name: replay-task, train_on: first, sizes: [16], recipe: {constraint: {kind: replay, rows_of: words}}}
  - {name: budget, train_on: first, sizes: [16], recipe: {constraint: {kind: generality-budget, rise: 9, every: 2}}}
  - {name: wise, train_on: first, sizes: [16], recipe: {afterwards: {kind: interpolate, alpha: [0.25, 0.5]}}}
  - {name: dare, train_on: first, sizes: [16], recipe: {afterwards: {kind: dare, drop: 0.5}}}
  - {name: resampled, train_on: first, sizes: [16], recipe: {demonstrations: {count: 2, resampled: true}}}
  - {name: graft, train_on: first, sizes: [16], recipe: {afterwards: {kind: graft, top: 0.2}}}
  - name: all-four
    train_on: first
    sizes: [16]
    recipe:
      demonstrations: 2
      parameters: {kind: lora, rank: 2, use_rslora: true}
      constraint: kl
      afterwards: {kind: interpolate, alpha: [0.5]}
shots: [0]
test_on: [first, words]
watch: 3
"""


def write_study(folder, variants=VARIANTS, *, fresh=True):
    path = make_study(folder) if fresh else folder / "study.yaml"
    text = path.read_text()
    start, end = text.index("variants:"), text.index("test_limit")
    path.write_text(text[:start] + variants.lstrip() + text[end:])
    return path


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recipes")
    return run(write_study(folder), folder / "store")


def test_a_study_of_every_recipe_runs_to_results(finished):
    study, store, outcome = finished
    assert not [(step.label, reason) for step, reason in outcome.failed]
    results = collect(study, store, command="spillover run study.yaml")
    ids = {card.id.split("/")[0]: card for card in results.variants}
    assert {"sft", "wise@alpha=0.25", "wise@alpha=0.5", "dare@drop=0.5", "graft@top=0.2", "all-four@alpha=0.5"} < set(
        ids
    )
    for name in ("spider", "magnitude", "random", "half", "last", "lora"):
        report = ids[name].training["recipe_report"]
        assert 0 < report["touched_share"] < 1, name
        assert report["extra_seconds"] >= 0
    assert ids["resampled"].training["shared_prefix_token_count"] == len("Text:")
    assert ids["magnitude"].training["recipe_report"]["extra_memory_bytes"] > 0
    rows = {row.variant.split("/")[0]: row for row in recipe_rows(results)}
    assert rows.keys() == ids.keys()
    said = {name: row.facts for name, row in rows.items() if row.facts}
    assert said.keys() == {"spider", "half", "replay-text", "replay-task", "budget"}
    assert said["half"] == "half of each layer's matrices frozen, drawn once"
    assert re.match(r"mask above 0 in \d+% and 1 in \d+% of the trained weights; [\d.]+% changed sides", said["spider"])
    assert rows["spider"].by_layer.count(",") == 3  # two layers, the embedding and the last norm
    assert said["replay-text"] == "4 rows replayed, 0 left out"
    assert re.match(r"loss on general text [+−±]\d\.\d\d nats a token .*, within the budget$", said["budget"])


def test_watching_a_study_is_logged_and_is_no_part_of_what_is_trained(finished, tmp_path):
    study, store, _ = finished
    for step in study.finetunes:
        log = json.loads(store.file(step, "training.json").read_text())
        assert [entry["step"] for entry in log["forgetting"]] == [0, 3, 4]
        assert log["forgetting"][0]["kl_to_base"] == pytest.approx(0, abs=1e-4)
    unwatched = load(write_study(tmp_path, VARIANTS.replace("watch: 3", "")))
    assert [step.key for step in unwatched.finetunes] == [step.key for step in study.finetunes]


def test_variants_that_differ_in_what_is_done_afterwards_share_one_training(finished):
    study, _, outcome = finished
    trained = [step for step in outcome.computed if isinstance(step, Finetune)]
    derived = [step for step in outcome.computed if isinstance(step, Derive)]
    assert len(trained) == 15  # sft, wise, dare and graft are one
    assert len(derived) == 6
    keys = {step.name: step.key for step in study.finetunes}
    assert keys["sft"] == keys["wise"] == keys["dare"] == keys["graft"]


def test_adapters_are_kept_as_adapters_and_planned_as_small(finished):
    study, store, _ = finished
    for step in study.models:
        folder = store.folder(step)
        assert (folder / "adapter").is_dir() == step.saves_adapter
        assert (folder / "weights").is_dir() != step.saves_adapter
    steps = {step.name: step for step in study.models}
    assert steps["all-four@alpha=0.5"].saves_adapter
    assert not steps["dora@alpha=0.5"].saves_adapter
    whole, small = (disk_bytes(study, [steps[name]]) for name in ("sft", "lora"))
    on_disk = (store.folder(steps["lora"]) / "adapter" / "adapter_model.safetensors").stat().st_size
    assert small < whole
    assert small == pytest.approx(on_disk, rel=0.5)


def test_the_drift_of_half_an_interpolation_is_half_the_drift(finished):
    study, store, _ = finished
    moved = {}
    for step in study.asked_beside:
        drift = json.loads(store.file(step, "drift.json").read_text())
        moved[step.variant.name] = drift["mean_absolute_difference"]
    assert moved["wise@alpha=0.25"] == pytest.approx(moved["sft"] / 4, rel=1e-3)
    assert moved["wise@alpha=0.5"] == pytest.approx(moved["sft"] / 2, rel=1e-3)
    assert moved["dare@drop=0.5"] == pytest.approx(moved["sft"], rel=0.2)
    assert 0.2 * moved["sft"] < moved["graft@top=0.2"] < moved["sft"]
    assert moved["spider"] < moved["sft"]


def test_a_replayed_task_that_is_the_trained_one_is_refused(tmp_path):
    path = write_study(tmp_path, VARIANTS.replace("rows_of: words", "rows_of: first"))
    with pytest.raises(UserError, match="'replay-task': it replays 'first', which it is trained on"):
        load(path)


def test_replayed_rows_are_no_test_rows_or_demonstrations_of_what_is_trained_and_fit_the_model(tmp_path):
    path = write_study(tmp_path)
    study = load(path)
    replay = next(step for step in study.finetunes if step.name == "replay-task")
    before = replay.data.rows(Workshop(Store(tmp_path / "store")))
    held_out = [row.fields["text"] for row in (*before.demonstrations, *before.test)]
    made = [{"text": text.upper(), "answer": "a"} for text in held_out]
    long = [{"text": "good " * 120, "answer": "a"}]  # 600 tokens of a model that takes 512
    words = path.with_name("words.jsonl")
    words.write_text(words.read_text() + "".join(json.dumps(row) + "\n" for row in (*made, *long)))
    workshop = Workshop(Store(tmp_path / "store"))
    (replayed,) = replay.material(workshop).replayed
    others = replay.rows.replayed[0][0].rows(workshop)
    in_training = {row.fields["text"].lower() for row in others.train}
    expected = {"longer than 512 tokens": int(long[0]["text"].strip() in in_training)}
    expected["equals a test row or demonstration of first"] = len(in_training & {text.lower() for text in held_out})
    assert replayed.dropped == expected
    assert min(expected.values()) > 0
    assert len(replayed.rows) == len(others.train) - sum(expected.values())
    report = replay.recipe.constraint.build(replay.material(workshop)).report()
    assert report == {"replayed_row_count": 0, "left_out_row_count": sum(expected.values())}


def test_weight_decay_beside_a_pull_to_the_base_is_refused(tmp_path):
    path = write_study(tmp_path)
    path.write_text(path.read_text().replace("epochs: 1", "epochs: 1, weight_decay: 0.1"))
    with pytest.raises(UserError, match=r"variant 'spider': .* set weight_decay: 0"):
        load(path)


def test_an_optimizer_that_this_machine_cannot_run_is_refused_before_anything_is_written(tmp_path):
    path = write_study(tmp_path)
    path.write_text(path.read_text().replace("epochs: 1", "epochs: 1, optimizer: paged-adamw-8bit"))
    with pytest.raises(UserError, match=r"sft: training.optimizer paged-adamw-8bit needs a CUDA device"):
        run(path, tmp_path / "store")
    assert not (tmp_path / "store").exists()


def test_layers_that_the_model_does_not_have_are_refused(tmp_path):
    path = write_study(tmp_path, VARIANTS.replace("count: 1", "count: 7"))
    with pytest.raises(UserError, match=r"variant 'last': parameters.count is 7; the model has 2 decoder layers; ask"):
        load(path)
    path = write_study(tmp_path, VARIANTS.replace("{kind: lora, rank: 2}}}", "{kind: lora, target_modules: [q_pro]}}}"))
    with pytest.raises(UserError, match=r"'lora': parameters.target_modules: .*'q_pro'; did you mean 'q_proj'"):
        load(path)
    adapted = VARIANTS.replace("{kind: lora, rank: 2}}}", "{kind: lora, target_modules: [q_proj, mlp.up_proj]}}}")
    assert load(write_study(tmp_path, adapted))


def test_more_general_text_than_there_is_is_refused(tmp_path):
    path = write_study(tmp_path, VARIANTS.replace("constraint: kl", "constraint: {kind: kl, rows: 900}"))
    with pytest.raises(
        UserError, match=r"'all-four': constraint.rows is 900; the general text has \d+ paragraphs; low"
    ):
        run(path, tmp_path / "store")
    assert not (tmp_path / "store").exists()


def test_too_few_rows_to_replay_are_refused_before_anything_is_written(tmp_path):
    path = write_study(tmp_path, VARIANTS.replace("share: 0.2", "share: 0.99"))
    with pytest.raises(UserError, match=r"'replay-text': .* mixes 396 rows into a step of 4, the general text holds"):
        run(path, tmp_path / "store")
    path = write_study(tmp_path, VARIANTS.replace("rows_of: words", "rows_of: words, share: 0.99"))
    with pytest.raises(UserError, match=r"'replay-task': .* 396 rows into a step of 4, words hold \d+; lower share"):
        run(path, tmp_path / "store")
    assert not (tmp_path / "store").exists()


def test_saved_models_load_with_transformers_and_hold_the_interpolated_weights(finished):
    study, store, _ = finished
    steps = {step.name: step for step in study.models}
    base = load_model(study.base.path, dtype="float32", device="cpu").state_dict()
    tuned, half = (
        load_model(store.folder(step) / "weights", dtype="float32", device="cpu").state_dict()
        for step in (steps["sft"], steps["wise@alpha=0.5"])
    )
    for name, weight in half.items():
        assert torch.allclose(weight, (base[name] + tuned[name]) / 2, atol=1e-7)


def test_an_exported_adapter_is_a_whole_model_and_an_unknown_variant_is_named(finished, tmp_path):
    study, store, _ = finished
    assert export(study, store, "lora/first/16/0", tmp_path / "whole") < 1e-3
    assert (tmp_path / "whole" / "tokenizer.json").is_file()
    load_model(tmp_path / "whole", dtype="float32", device="cpu")
    assert export(study, store, "sft/first/16/0", tmp_path / "copy") == 0.0
    with pytest.raises(UserError, match="unknown variant 'lora/first/16/1'; did you mean 'lora/first/16/0'"):
        export(study, store, "lora/first/16/1", tmp_path / "other")
    with pytest.raises(UserError, match="whole: exists; name a new folder"):
        export(study, store, "lora/first/16/0", tmp_path / "whole")
    with pytest.raises(UserError, match="is not finished in"):
        export(study, Store(tmp_path / "empty"), "lora/first/16/0", tmp_path / "new")


def test_the_log_of_a_training_from_before_recipes_reported_is_read(tmp_path):
    study, store = load(make_study(tmp_path)), Store(tmp_path / "store")
    step = next(step for step in study.steps if isinstance(step, Finetune))

    def write(folder):
        (folder / "training.json").write_text('{"step_count": 3}')
        return {"duration_seconds": 1.0}

    store.write(step, write)
    assert step.log(store)["recipe_report"] == {}
    assert step.log(store)["step_count"] == 3
