"""What was trained elsewhere is measured as what a study trained itself, or refused before anything is written."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from spillover.config import load_study
from spillover.errors import UserError
from spillover.questions import answered
from spillover.records import Relation
from spillover.steps.adopt import Adopt
from spillover.steps.workshop import Workshop
from spillover.store.store import Store
from spillover.study.results import collect
from spillover.study.runner import run_study
from tests.study.made_study import make_study
from tests.study.test_runner import Quiet, run

TRAINED = """
variants:
  - {name: sft, train_on: first, sizes: [16]}
  - {name: lora, train_on: first, sizes: [16], recipe: {parameters: {kind: lora, rank: 2}}}
shots: [0]
"""
ADOPTED = """
variants:
  - {name: whole, model: ./whole, train_on: first}
  - {name: part, adapter: ./part}
  - {name: kin, adapter: ./part, train_on: mood}
shots: [0]
"""


def with_variants(path, variants):
    text = path.read_text()
    start, end = text.index("variants:"), text.index("test_limit")
    path.write_text(text[:start] + variants.lstrip() + text[end:])
    return path


def load(path, notices=None):
    return load_study(path, cache=path.parent / "cache", notice=(notices if notices is not None else []).append)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A study of a whole model and an adapter, their folders copied beside the study file as if from elsewhere."""
    folder = tmp_path_factory.mktemp("trained")
    path = with_variants(make_study(folder), TRAINED)
    study, store, outcome = run(path, folder / "store")
    assert not outcome.failed
    whole, part = (store.folder(step) for step in study.models)
    shutil.copytree(whole / "weights", folder / "whole")
    shutil.copytree(part / "adapter", folder / "part")
    return path, study, store


@pytest.fixture
def folder(trained, tmp_path):
    """A copy of the study's folder that a test may change, asking for the copies of what was trained."""
    path, _, _ = trained
    shutil.copytree(path.parent, tmp_path / "made", ignore=shutil.ignore_patterns("store", "cache"))
    with_variants(tmp_path / "made" / "study.yaml", ADOPTED)
    return tmp_path / "made"


@pytest.fixture(scope="module")
def adopted(trained, tmp_path_factory):
    path, _, _ = trained
    folder = tmp_path_factory.mktemp("adopted") / "made"
    shutil.copytree(path.parent, folder, ignore=shutil.ignore_patterns("store", "cache"))
    study, store = load(with_variants(folder / "study.yaml", ADOPTED)), Store(folder / "store")
    outcome = run_study(study, store, Workshop(store), Quiet())
    assert not outcome.failed
    return study, store, collect(study, store, command="spillover run study.yaml")


def accuracies(results, variant):
    wanted = ("accuracy", "rouge_l")
    return {
        (s.cell, s.metric): s.statistics.tolist() for s in results.scores if s.variant == variant and s.metric in wanted
    }


def test_what_was_trained_elsewhere_scores_as_what_a_study_trained_itself(trained, adopted):
    _, own_study, own_store = trained
    own = collect(own_study, own_store, command="spillover run study.yaml")
    _, _, results = adopted
    for ours, theirs in (
        ("sft/first/16/0", "whole/first"),
        ("lora/first/16/0", "part"),
        ("lora/first/16/0", "kin/mood"),
    ):
        assert accuracies(own, ours)
        assert accuracies(own, ours) == accuracies(results, theirs)
    drifts = {card.id: card.facts["drift"]["mean_absolute_difference"] for card in (*own.variants, *results.variants)}
    assert drifts["whole/first"] == drifts["sft/first/16/0"] > 0
    assert drifts["part"] == drifts["lora/first/16/0"] > 0


def test_relations_follow_from_what_is_said_and_nothing_is_guessed(adopted):
    _, _, results = adopted
    assert [results.relations["whole/first", task] for task in ("first", "second", "words")] == list(Relation)[:3]
    assert {results.relations["part", task] for task in ("first", "second", "words")} == {Relation.UNSTATED}
    assert [results.relations["kin/mood", task] for task in ("first", "second", "words")] == [
        Relation.OUT_OF_DOMAIN,
        Relation.OUT_OF_DOMAIN,
        Relation.CROSS_TASK,
    ]
    verdicts = {verdict.variant: verdict for verdict in answered(results).verdicts}
    assert "unstated" in verdicts["part"].numbers[0]
    assert "any may be its own" in verdicts["part"].reading
    assert verdicts["part"].light in {"untested", "loses"}  # the base is at its floor


def test_the_same_adapter_under_two_names_is_asked_once(adopted):
    study, store, _ = adopted
    part, kin = (step for step in study.models if step.name in ("part", "kin"))
    assert part.key == kin.key
    assert json.loads(store.file(part, "adopted.json").read_text())["fingerprint"] == part.adopted.fingerprint


def test_an_adapter_is_told_by_what_it_holds_not_by_where_it_lies_or_what_base_it_names(folder):
    before = load(folder / "study.yaml").adopted[1]
    shutil.copytree(folder / "part", folder / "elsewhere")
    edit(
        folder / "elsewhere" / "adapter_config.json", base_model_name_or_path="someone/other-base", inference_mode=False
    )
    study = folder / "study.yaml"
    study.write_text(study.read_text().replace("adapter: ./part}", "adapter: ./elsewhere}"))
    notices = []
    after = load(study, notices).adopted[1]
    assert after.adopted.path != before.adopted.path
    assert after.key == before.key
    assert len(notices) == 1
    assert "says it was trained on 'someone/other-base', the base here is 'model'" in notices[0]
    edit(folder / "elsewhere" / "adapter_config.json", lora_alpha=3)
    assert load(study).adopted[1].key != before.key


def edit(path, **changes):
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def change_tensors(path, change):
    tensors = {name: tensor for old, value in load_file(path).items() for name, tensor in change(old, value)}
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path, metadata={"format": "pt"})


def zero_updates(folder):
    change_tensors(folder / "part/adapter_model.safetensors", lambda n, t: [(n, t * 0 if "lora_B" in n else t)])


def widen(folder):
    change_tensors(
        folder / "part/adapter_model.safetensors", lambda n, t: [(n, torch.cat([t, t], 1) if "lora_A" in n else t)]
    )


def add_layers(folder):
    weights = folder / "part/adapter_model.safetensors"
    change_tensors(weights, lambda n, t: [(n, t), (n.replace("layers.0", "layers.7"), t.clone())])


def drop_layer(folder):
    change_tensors(folder / "part/adapter_model.safetensors", lambda n, t: [] if "layers.1" in n else [(n, t)])


def break_adapter(folder):
    path = folder / "part" / "adapter_model.safetensors"
    tensors = load_file(path)
    tensors[max(tensors)].view(-1)[0] = float("nan")
    save_file(tensors, path)


def pickle_adapter(folder):
    (folder / "part/adapter_model.safetensors").rename(folder / "part/adapter_model.bin")


def pickle_model(folder):
    (folder / "whole/model.safetensors").rename(folder / "whole/pytorch_model.bin")


def copy_base(folder):
    shutil.rmtree(folder / "whole")
    shutil.copytree(folder / "model", folder / "whole")


def save_base_in_bfloat16(folder):
    base = AutoModelForCausalLM.from_pretrained(folder / "model", dtype=torch.bfloat16)
    base.save_pretrained(folder / "whole")
    base.float().save_pretrained(folder / "model")  # numbers that both types hold


def rename_tensors_of_base(folder):
    copy_base(folder)
    change_tensors(folder / "whole/model.safetensors", lambda n, t: [(n.removeprefix("model."), t)])


def remove_layer(folder):
    model = AutoModelForCausalLM.from_pretrained(folder / "whole")
    model.config.num_hidden_layers = 1
    del model.model.layers[1]
    model.save_pretrained(folder / "whole")


def change_config(**changes):
    return lambda folder: edit(folder / "part/adapter_config.json", **changes)


def swap(folder):
    shutil.rmtree(folder / "part")
    shutil.copytree(folder / "whole", folder / "part")


def replace_tokens(name):
    def change(folder):
        for file in ("tokenizer.json", "tokenizer_config.json"):
            shutil.copy(folder / "model" / file, folder / name / file)
        path = folder / name / "tokenizer.json"
        content = json.loads(path.read_text())
        vocabulary = content["model"]["vocab"]
        vocabulary["T"], vocabulary["U"] = vocabulary["U"], vocabulary["T"]
        path.write_text(json.dumps(content))

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            widen,
            r"part: the adapter does not fit this base: .*lora_A.* has the shape \(2, 64\), the base takes \(2, 32\)",
        ),
        (
            add_layers,
            r"does not fit this base: the base has no place for .*layers\.7.*; give the base it was trained on",
        ),
        (drop_layer, r"does not fit this base: it lacks .*layers\.1"),
        (zero_updates, "every update of the adapter is zero: it has the weights of its base"),
        (pickle_adapter, r"no adapter_model\.safetensors \(its \.bin file can run code and is never read\)"),
        (pickle_model, r"whole: no model\.safetensors .*can run code and are never read"),
        (copy_base, "whole: has the weights of the base 'model'; give the fine-tuned model"),
        (save_base_in_bfloat16, "whole: has the weights of the base 'model', number by number"),
        (rename_tensors_of_base, "whole: has the weights of the base 'model', number by number"),
        (
            lambda folder: edit(folder / "whole/config.json", model_type="new"),
            "transformers cannot load this model",
        ),
        (remove_layer, r"whole: the model was not fine-tuned from this base: it lacks model\.layers\.1.*"),
        (change_config(peft_type="IA3"), "peft_type is 'IA3', expected 'LORA'; merge it into its base"),
        (change_config(init_lora_weights="pissa"), "init_lora_weights is 'pissa': .* own weights were changed; merge"),
        (change_config(modules_to_save=["lm_head"]), r"does not fit this base: it lacks .*lm_head\.weight \("),
        (change_config(task_type="SEQ_CLS"), 'task_type is "SEQ_CLS": the adapter belongs to something else'),
        (change_config(lora_alpha=1e39), "its update, scaled by lora_alpha, is too large to compute with"),
        (change_config(rank_pattern={"q_proj": 5}), r"part: the adapter does not fit this base: .*q_proj.* the shape"),
        (break_adapter, r"part: .*lora_B.* holds values that are no finite numbers; train it again"),
        (change_config(bias="all"), "bias is 'all': it replaces biases of the base; merge it"),
        (change_config(target_modules=["nowhere"]), "the adapter does not fit this base"),
        (swap, r"part: no adapter_config\.json \(it is a whole model: give it as model, not as adapter\)"),
        (
            replace_tokens("part"),
            "tokenizer makes .* tokens of the text that ends in .* must be asked the same token ids",
        ),
        (
            replace_tokens("whole"),
            "tokenizer makes .* tokens of the text that ends in .* must be asked the same token ids",
        ),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line_before_anything_is_written(folder, change, message):
    change(folder)
    store = Store(folder / "store")
    with pytest.raises(UserError, match=message) as raised:
        run_study(load(folder / "study.yaml"), store, Workshop(store), Quiet())
    assert "\n" not in str(raised.value)
    assert not store.root.exists()


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("{name: x, adapter: ./part, model: ./whole}", "variant 'x': give adapter or model, one of the two"),
        ("{name: base, adapter: ./part}", "a variant is called 'base', as the untouched model is"),
        (
            "{name: x, adapter: ./part, train_on: moood}",
            "unknown task or family of suite 'made' 'moood'; did you mean 'mood'",
        ),
        ("{name: x, adapter: ./part, train_onn: first}", r"unknown setting 'train_onn'; did you mean 'train_on'"),
        ("{name: x, model: ./part}", "part: an adapter, not a whole model; give it as adapter"),
        ("{name: x, adapter: ./nowhere}", r"nowhere: no adapter_config\.json; expected a folder"),
    ],
)
def test_a_mistake_in_an_adopted_entry_is_one_line(folder, entry, message):
    path = with_variants(folder / "study.yaml", f"variants: [{entry}]\nshots: [0]\n")
    with pytest.raises(UserError, match=message) as raised:
        load(path)
    assert "\n" not in str(raised.value)


def test_a_model_keeps_its_own_settings_added_rows_and_end_token(folder):
    """Its configuration, a larger vocabulary and its end token hold, though none of them is the base's."""
    model = AutoModelForCausalLM.from_pretrained(folder / "whole")
    model.resize_token_embeddings(model.config.vocab_size + 3, mean_resizing=False)
    model.config.rope_parameters = {"rope_type": "default", "rope_theta": 50.0}
    model.save_pretrained(folder / "whole")
    tokenizer = AutoTokenizer.from_pretrained(folder / "model")
    tokenizer.add_special_tokens({"eos_token": "<stop>"})
    tokenizer.save_pretrained(folder / "whole")
    path = with_variants(
        folder / "study.yaml", "variants: [{name: whole, model: ./whole}]\nshots: [0]\ntest_on: [first, words]\n"
    )
    study, store = load(path), Store(folder / "store")
    assert not run_study(study, store, Workshop(store), Quiet()).failed
    step = next(s for s in study.steps if s.label == "ask whole first at 0 shots")
    encoded, _ = step.encoded(Workshop(store))
    own = AutoModelForCausalLM.from_pretrained(folder / "whole").eval()
    lines = store.file(step, "predictions.jsonl").read_text().splitlines()
    for line, prompt in zip(map(json.loads, lines), encoded.prompts, strict=True):
        for answer, found in zip(encoded.answers, line["log_likelihoods"], strict=True):
            with torch.no_grad():
                rows = own(torch.tensor([[*prompt, *answer]])).logits[0].log_softmax(-1)
            expected = sum(float(rows[len(prompt) - 1 + at, token]) for at, token in enumerate(answer))
            assert found == pytest.approx(expected, abs=1e-4)
    assert isinstance(step.variant, Adopt)
    assert step.own_encoder(Workshop(store)).end_token_id == tokenizer.eos_token_id != 0
