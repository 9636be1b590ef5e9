import json

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file

from spillover.errors import SpilloverError, UserError
from spillover.models import adapters
from spillover.models.adapters import adapter_fingerprint, attach, detach, export_merged, load_merged, write_scaled
from spillover.models.adopted import check_adapter
from spillover.models.fingerprint import WEIGHTS_FILE
from spillover.models.load import load_model
from spillover.models.loaded import LoadedModel
from spillover.models.scoring import answer_log_likelihoods
from spillover.training.fit import fit
from spillover.training.optimization import TrainingSettings
from spillover.training.settings import Recipe
from tests.models.tiny import SHARING, VOCABULARY, tiny_model
from tests.training.made_rows import made_rows

PROMPTS = [row.prompt for row in made_rows(6, 5, seed=1).rows]
ANSWERS = [[(5, 6), (5, 7, 8), (9,)]] * len(PROMPTS)


def make_adapter(folder, architecture="llama", **options):
    """Save a tiny base and an adapter trained on it; return both folders."""
    model = tiny_model(architecture, scale=2)
    model.save_pretrained(folder / "base")
    recipe = Recipe.model_validate({"parameters": {"kind": "lora", "rank": 2, **options}})
    adapter = recipe.parameters.select(model, seed=0)
    fit(model, made_rows(5), TrainingSettings(learning_rate=1e-2, batch_size=2), seed=0)
    adapter.save(folder / "adapter", base_name="tiny")
    return folder / "base", folder / "adapter", model


RELATIVES = [{}, {"use_rslora": True}, {"use_dora": True}, {"init_lora_weights": "pissa"}]


@pytest.mark.parametrize("options", RELATIVES)
def test_an_attached_adapter_scores_like_the_trained_model_and_like_the_merged_one(tmp_path, options):
    base, adapter, trained = make_adapter(tmp_path, **options)
    expected = answer_log_likelihoods(trained, PROMPTS, ANSWERS)
    model = load_model(base, dtype="float32", device="cpu")
    before = answer_log_likelihoods(model, PROMPTS, ANSWERS)
    handle = attach(model, adapter)
    attached = answer_log_likelihoods(model, PROMPTS, ANSWERS)
    merged = answer_log_likelihoods(load_merged(base, adapter), PROMPTS, ANSWERS)
    for ours, whole, first, untouched in zip(attached, merged, expected, before, strict=True):
        assert ours == pytest.approx(first, abs=1e-4)
        assert ours == pytest.approx(whole, abs=1e-4)
        assert abs(ours - untouched).max() > 1e-2
    detach(handle)


@pytest.mark.parametrize("architecture", SHARING)
def test_a_detached_adapter_leaves_the_base_bit_by_bit(tmp_path, architecture):
    base, adapter, _ = make_adapter(tmp_path, architecture)
    model = load_model(base, dtype="float32", device="cpu")
    ids = torch.tensor([PROMPTS[0]])
    before = model(ids).logits.detach().clone()
    handle = attach(model, adapter)
    assert not torch.equal(model(ids).logits, before)
    detach(handle)
    assert torch.equal(model(ids).logits, before)


def test_one_loaded_model_takes_weights_and_adapters_in_turn(tmp_path):
    base, adapter, trained = make_adapter(tmp_path)
    other = tiny_model(scale=2, seed=5)
    other.save_pretrained(tmp_path / "other")
    loaded = LoadedModel(base, dtype="float32", device="cpu")
    whole = loaded.model

    def scores():
        return [list(row) for row in answer_log_likelihoods(loaded.model, PROMPTS, ANSWERS, prefixes=loaded.prefixes)]

    first = scores()
    seen = {}
    for name, places in (("adapter", (base, adapter)), ("other", (tmp_path / "other",)), ("again", (base, adapter))):
        loaded.use(*places)
        seen[name] = scores()
    loaded.use(base)
    assert scores() == first
    assert seen["adapter"] == seen["again"]
    assert loaded.model is whole
    for name, model in (("adapter", trained), ("other", other)):
        for ours, theirs in zip(seen[name], answer_log_likelihoods(model, PROMPTS, ANSWERS), strict=True):
            assert ours == pytest.approx(list(theirs), abs=1e-4)


@pytest.mark.parametrize("options", [{}, {"use_rslora": True}])
def test_merging_adds_scale_times_b_a(tmp_path, options):
    base, adapter, trained = make_adapter(tmp_path, alpha=6, **options)
    before = dict(load_model(base, dtype="float32", device="cpu").named_parameters())
    merged = dict(load_merged(base, adapter).named_parameters())
    scale = 6 / 2**0.5 if options else 3
    factors = dict(trained.named_parameters())
    checked = 0
    for name, weight in before.items():
        stem = name.removesuffix(".weight")
        expected = weight
        if f"{stem}.lora_A.default.weight" in factors:
            expected = (
                weight + scale * factors[f"{stem}.lora_B.default.weight"] @ factors[f"{stem}.lora_A.default.weight"]
            )
            checked += 1
        assert torch.allclose(merged[name], expected, atol=1e-5)
    assert checked == 14


def test_a_scaled_adapter_merges_to_the_interpolated_weights(tmp_path):
    base, adapter, _ = make_adapter(tmp_path)
    write_scaled(adapter, 0.25, tmp_path / "quarter")
    before = dict(load_model(base, dtype="float32", device="cpu").named_parameters())
    whole, quarter = (dict(load_merged(base, path).named_parameters()) for path in (adapter, tmp_path / "quarter"))
    for name, weight in before.items():
        assert torch.allclose(quarter[name], weight.lerp(whole[name], 0.25), atol=1e-6)


def test_an_adapter_knows_whether_it_does_anything_and_what_it_is(tmp_path):
    _, adapter, _ = make_adapter(tmp_path)
    write_scaled(adapter, 0.0, tmp_path / "nothing")
    write_scaled(adapter, 1.0, tmp_path / "same")
    assert not adapter_fingerprint(adapter)[1]
    assert adapter_fingerprint(tmp_path / "nothing")[1]
    assert adapter_fingerprint(adapter) == adapter_fingerprint(tmp_path / "same")
    assert adapter_fingerprint(adapter)[0] != adapter_fingerprint(tmp_path / "nothing")[0]


def test_a_saved_adapter_names_its_base_and_no_place_on_this_machine(tmp_path):
    _, adapter, _ = make_adapter(tmp_path)
    config = (adapter / "adapter_config.json").read_text()
    assert json.loads(config)["base_model_name_or_path"] == "tiny"
    assert str(tmp_path) not in config
    assert sorted(path.name for path in adapter.iterdir()) == ["adapter_config.json", "adapter_model.safetensors"]


def test_export_writes_the_merged_model_and_says_how_far_a_logit_moved(tmp_path):
    base, adapter, trained = make_adapter(tmp_path)
    gap = export_merged(base, adapter, tmp_path / "whole", PROMPTS)
    assert gap < 1e-3
    exported = load_model(tmp_path / "whole", dtype="float32", device="cpu")
    ids = torch.tensor([PROMPTS[0]])
    assert torch.allclose(exported(ids).logits, trained(ids).logits, atol=1e-3)


def test_export_refuses_when_merging_moves_a_logit(tmp_path, monkeypatch):
    base, adapter, _ = make_adapter(tmp_path)
    monkeypatch.setattr(adapters, "MERGE_TOLERANCE", -1.0)
    with pytest.raises(SpilloverError, match=r"merging it into .* moves a logit by .*; use the adapter as it is"):
        export_merged(base, adapter, tmp_path / "whole", PROMPTS)
    assert not (tmp_path / "whole").exists()


def test_a_folder_that_is_no_adapter_is_one_line(tmp_path):
    with pytest.raises(UserError, match=r"no adapter_config\.json; expected a folder that peft"):
        adapters.attach(tiny_model(), tmp_path)


def test_an_adapter_of_another_model_is_one_line(tmp_path):
    _, adapter, _ = make_adapter(tmp_path)
    with pytest.raises(UserError, match="the adapter does not fit this base"):
        adapters.attach(tiny_model("gpt2"), adapter)


def made_elsewhere(folder, *, rows=0, **options):
    """Save a tiny base, and an adapter that somebody's own script trained with peft; return both and its model."""
    tiny_model(scale=2).save_pretrained(folder / "base")
    model = tiny_model(scale=2)
    if rows:
        model.resize_token_embeddings(VOCABULARY + rows)
    handle = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", r=2, **options))
    with torch.no_grad():
        for name, parameter in handle.named_parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * (0.3 if "lora_" in name else 0.05))
    # As peft does by itself where it can read the base that the adapter names and finds its vocabulary smaller.
    saves = True if rows and "modules_to_save" not in options else "auto"
    handle.save_pretrained(folder / "adapter", save_embedding_layers=saves)
    return folder / "base", folder / "adapter", handle.eval()


@pytest.mark.parametrize(
    "options",
    [
        {"target_modules": ["q_proj"], "modules_to_save": ["lm_head"]},
        {"target_modules": ["q_proj"], "modules_to_save": ["embed_tokens", "lm_head"]},
        {"target_modules": ["q_proj", "embed_tokens"]},
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_an_adapter_that_carries_parts_of_its_base_is_taken_on_and_off(tmp_path, options):
    base, adapter, trained = made_elsewhere(tmp_path, **options)
    ids = torch.tensor([PROMPTS[0]])
    check_adapter(base, adapter)
    loaded = LoadedModel(base, dtype="float32", device="cpu")
    before = loaded.model(ids).logits.detach().clone()
    for _ in range(2):
        loaded.use(base, adapter)
        assert torch.allclose(loaded.model(ids).logits, trained(ids).logits, atol=1e-5)
        assert not torch.allclose(loaded.model(ids).logits, before, atol=1e-2)
        loaded.use(base)
        assert torch.equal(loaded.model(ids).logits, before)


@pytest.mark.parametrize("options", [{}, {"modules_to_save": ["embed_tokens", "lm_head"]}])
@pytest.mark.filterwarnings("ignore")
def test_an_adapter_of_a_base_with_added_tokens_is_taken_on_and_off(tmp_path, options):
    base, adapter, trained = made_elsewhere(tmp_path, rows=3, target_modules=["q_proj"], **options)
    ids = torch.tensor([PROMPTS[0]])
    check_adapter(base, adapter)
    loaded = LoadedModel(base, dtype="float32", device="cpu")
    before = loaded.model(ids).logits.detach().clone()
    for _ in range(2):
        loaded.use(base, adapter)
        assert torch.allclose(loaded.model(ids).logits, trained(ids).logits, atol=1e-5)
        assert loaded.model(ids).logits.shape[-1] == VOCABULARY + 3
        loaded.use(base)
        assert torch.equal(loaded.model(ids).logits, before)
        assert loaded.model.config.vocab_size == VOCABULARY


@pytest.mark.filterwarnings("ignore")
def test_an_adapter_that_carries_only_some_of_what_grew_is_refused_by_the_tensor(tmp_path):
    base, adapter, _ = made_elsewhere(tmp_path, rows=3, target_modules=["q_proj"])
    held = load_file(adapter / WEIGHTS_FILE)
    head = next(name for name in held if name.endswith("lm_head.weight"))
    save_file({name: tensor for name, tensor in held.items() if name != head}, adapter / WEIGHTS_FILE)
    config = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(json.dumps({**config, "tie_word_embeddings": False}))
    with pytest.raises(UserError, match=rf"embed_tokens\.weight with {VOCABULARY + 3} rows.*no lm_head\.weight with"):
        check_adapter(base, adapter)


@pytest.mark.filterwarnings("ignore")
def test_an_adapter_of_a_smaller_vocabulary_is_refused_by_the_tensor(tmp_path):
    base, adapter, _ = made_elsewhere(tmp_path, rows=-3, target_modules=["q_proj"])
    shrunk = rf"carries \S+\.weight \({VOCABULARY - 3}, 16\), this base has \({VOCABULARY}, 16\)"
    with pytest.raises(UserError, match=shrunk):
        check_adapter(base, adapter)
