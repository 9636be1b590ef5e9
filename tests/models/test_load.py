import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers.utils import logging as transformers_logging

from spillover.errors import UserError
from spillover.models.load import load_model, load_weights_into, preferred_device
from spillover.models.tokenizer import load_encoder, load_tokenizer, quiet_transformers
from tests.models.folders import END, byte_tokenizer, model_folder, tiny_llama

IDS = torch.tensor([[5, 77, 200, 31, 9]])


@pytest.fixture(scope="module", params=[True, False], ids=["tied", "untied"])
def tied(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def test_a_loaded_model_computes_what_the_saved_one_did(
    tmp_path: Path, tied: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = model_folder(tmp_path, tied=tied)
    capfd.readouterr()
    model = load_model(folder, dtype="float32", device="cpu")
    assert capfd.readouterr() == ("", "")
    assert not model.training
    assert model.config._attn_implementation == "sdpa"
    with torch.inference_mode():
        torch.testing.assert_close(model(IDS).logits, tiny_llama(tied=tied)(IDS).logits)


def test_the_type_of_the_weights_is_the_one_asked_for(tmp_path: Path) -> None:
    assert load_model(model_folder(tmp_path), dtype="bfloat16", device="cpu").dtype == torch.bfloat16


def test_pickled_weights_are_refused(tmp_path: Path) -> None:
    tiny_llama().config.save_pretrained(tmp_path)
    torch.save(tiny_llama().state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(UserError, match="which can run code and are never read"):
        load_model(tmp_path, dtype="float32", device="cpu")


def test_code_from_a_folder_is_never_run(tmp_path: Path) -> None:
    folder = model_folder(tmp_path)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config |= {"model_type": "homemade", "auto_map": {"AutoConfig": "trap.C", "AutoModelForCausalLM": "trap.M"}}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    (folder / "trap.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')", encoding="utf-8")
    with pytest.raises(UserError, match="transformers cannot load this model"):
        load_model(folder, dtype="float32", device="cpu")
    assert not (tmp_path / "ran").exists()


def test_a_missing_padding_token_becomes_the_end_token(tmp_path: Path) -> None:
    byte_tokenizer().save_pretrained(tmp_path)
    tokenizer = load_tokenizer(tmp_path)
    assert tokenizer.pad_token == tokenizer.eos_token == END


def test_a_tokenizer_without_an_end_token_is_refused(tmp_path: Path) -> None:
    tokenizer = byte_tokenizer()
    tokenizer.eos_token = None
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(UserError, match=r"no end token \(eos_token\); add one"):
        load_tokenizer(tmp_path)


def test_weights_of_another_folder_are_loaded_into_the_same_module(tmp_path: Path, tied: bool) -> None:
    model = tiny_llama(seed=0, tied=tied)
    addresses = [parameter.data_ptr() for parameter in model.parameters()]
    load_weights_into(model, model_folder(tmp_path, seed=1, tied=tied, max_shard_size="20KB"))
    assert [parameter.data_ptr() for parameter in model.parameters()] == addresses
    with torch.inference_mode():
        assert torch.equal(model(IDS).logits, tiny_llama(seed=1, tied=tied)(IDS).logits)


def test_a_tie_may_be_saved_twice_if_both_agree(tmp_path: Path) -> None:
    folder = model_folder(tmp_path, seed=1)
    tensors = load_file(folder / "model.safetensors")
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].clone()
    save_file(tensors, folder / "model.safetensors")
    model = tiny_llama(seed=0)
    load_weights_into(model, folder)
    assert torch.equal(model.lm_head.weight, tensors["lm_head.weight"])
    tensors["lm_head.weight"] += 1
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(UserError, match=r"differs from .*, which this model ties to it"):
        load_weights_into(model, folder)


@pytest.mark.parametrize("fault", ["missing", "not in the model", "of another shape"])
def test_weights_that_do_not_fit_are_named_and_nothing_is_changed(tmp_path: Path, fault: str) -> None:
    folder = model_folder(tmp_path, seed=1)
    tensors = load_file(folder / "model.safetensors")
    if fault == "missing":
        del tensors["model.norm.weight"]
    elif fault == "not in the model":
        tensors["extra.weight"] = torch.zeros(1)
    else:
        tensors["model.norm.weight"] = torch.zeros(3)
    save_file(tensors, folder / "model.safetensors")
    model = tiny_llama(seed=0)
    with pytest.raises(UserError, match=rf"tensors {fault}: (model\.norm|extra)\.weight; expected weights of the same"):
        load_weights_into(model, folder)
    assert torch.equal(model.model.embed_tokens.weight, tiny_llama(seed=0).model.embed_tokens.weight)


def test_the_device_is_one_that_torch_accepts() -> None:
    assert torch.zeros(1, device=preferred_device()).sum().item() == 0


def test_the_loudness_of_transformers_is_put_back() -> None:
    before = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    with quiet_transformers():
        assert not transformers_logging.is_progress_bar_enabled()
    assert (transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()) == before


def test_a_missing_weight_is_refused_and_never_filled_with_random_numbers(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    from tests.study.made_study import make_model

    folder = make_model(tmp_path)
    tensors = load_file(folder / "model.safetensors")
    del tensors["model.layers.0.self_attn.q_proj.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"1 weights are missing .* model\.layers\.0\.self_attn\.q_proj\.weight"):
        load_model(folder, dtype="float32", device="cpu")


def test_a_classifier_given_as_a_language_model_is_refused_by_the_weight_it_would_lose(tmp_path: Path) -> None:
    folder = model_folder(tmp_path)
    tensors = load_file(folder / "model.safetensors") | {"score.weight": torch.zeros(3, 32)}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"1 weights are no part of a language model .* such as score\.weight; give a"):
        load_model(folder, dtype="float32", device="cpu")


@pytest.mark.parametrize("stated", ["eager", "flash_attention_2", {"": "eager"}])
def test_attention_is_ours_whatever_a_folder_says(tmp_path: Path, stated: object) -> None:
    folder = model_folder(tmp_path)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8")) | {"_attn_implementation": stated}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    assert load_model(folder, dtype="float32", device="cpu").config._attn_implementation == "sdpa"


def test_a_tokenizer_of_more_tokens_than_its_model_is_refused(tmp_path: Path) -> None:
    folder = model_folder(tmp_path)
    assert load_encoder(folder).prompts(["the"])
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    size = config["vocab_size"]
    (folder / "config.json").write_text(json.dumps(config | {"vocab_size": size - 3}), encoding="utf-8")
    with pytest.raises(
        UserError, match=rf"the tokenizer has {size} tokens, the model's vocabulary is {size - 3}; give"
    ):
        load_encoder(folder)
