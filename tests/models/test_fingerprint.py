import json
import os
import struct
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers.processors import BertProcessing, ByteLevel, Sequence, TemplateProcessing

from spillover.errors import UserError
from spillover.models.fingerprint import (
    appends_special_tokens,
    parameter_count,
    tensor_entries,
    tokenizer_fingerprint,
    weight_files,
    weights_fingerprint,
)
from spillover.models.tokenizer import load_encoder
from tests.models.folders import END, byte_tokenizer, model_folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return model_folder(tmp_path_factory.mktemp("model"))


def _tiny(folder: Path, tensors: dict[str, torch.Tensor], **config: object) -> Path:
    folder.mkdir()
    save_file(tensors, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"model_type": "llama"} | config), encoding="utf-8")
    return folder


def test_shards_order_and_metadata_do_not_matter(folder: Path, tmp_path: Path) -> None:
    sharded = model_folder(tmp_path / "sharded", max_shard_size="20KB")
    assert len(weight_files(sharded)) > 1
    rewritten = tmp_path / "rewritten"
    rewritten.mkdir()
    tensors = load_file(folder / "model.safetensors")
    save_file(dict(reversed(tensors.items())), rewritten / "model.safetensors", metadata={"by": "someone"})
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config |= {"transformers_version": "0", "_name_or_path": "x", "dtype": "bfloat16", "use_cache": False}
    (rewritten / "config.json").write_text(json.dumps(dict(reversed(config.items()))), encoding="utf-8")
    assert weights_fingerprint(folder) == weights_fingerprint(sharded) == weights_fingerprint(rewritten)


@pytest.mark.parametrize(
    "changed",
    [
        {"a": torch.tensor([1.0, 2.0, 3.5]), "b": torch.zeros(2, 2)},
        {"a": torch.tensor([1.0, 2.0, 3.0]), "b": torch.zeros(4)},
        {"a": torch.tensor([1.0, 2.0, 3.0]), "b": torch.zeros(2, 2, dtype=torch.int32)},
        {"a": torch.tensor([1.0, 2.0, 3.0]), "c": torch.zeros(2, 2)},
        {"a": torch.tensor([1.0, 2.0, 3.0])},
    ],
)
def test_a_changed_value_shape_type_or_name_is_another_model(tmp_path: Path, changed: dict[str, torch.Tensor]) -> None:
    original = _tiny(tmp_path / "one", {"a": torch.tensor([1.0, 2.0, 3.0]), "b": torch.zeros(2, 2)})
    assert weights_fingerprint(_tiny(tmp_path / "two", changed)) != weights_fingerprint(original)


def test_a_setting_that_changes_the_computation_is_another_model(tmp_path: Path) -> None:
    tensors = {"a": torch.zeros(2)}
    one, two = _tiny(tmp_path / "one", tensors, rope_theta=1e4), _tiny(tmp_path / "two", tensors, rope_theta=1e5)
    assert weights_fingerprint(one) != weights_fingerprint(two)


def test_the_fingerprint_is_remembered_until_a_file_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, cache = _tiny(tmp_path / "one", {"a": torch.zeros(2)}), tmp_path / "cache"
    first = weights_fingerprint(folder, cache=cache)
    with monkeypatch.context() as patched:
        patched.setattr("spillover.models.fingerprint._digest_of", None)
        assert weights_fingerprint(folder, cache=cache) == first
    kept = (folder / "model.safetensors").stat()
    save_file({"a": torch.ones(2)}, folder / "model.safetensors")
    os.utime(folder / "model.safetensors", ns=(kept.st_atime_ns, kept.st_mtime_ns))
    assert (folder / "model.safetensors").stat().st_size == kept.st_size
    assert weights_fingerprint(folder, cache=cache) != first


@pytest.mark.parametrize("damage", ["empty", "cut", "digit", "other", "bytes"])
def test_a_damaged_memo_is_no_identity(tmp_path: Path, damage: str) -> None:
    cache = tmp_path / "cache"
    one, two = (_tiny(tmp_path / name, {"a": torch.full((2,), value)}) for name, value in (("one", 0.0), ("two", 1.0)))
    first, second = (weights_fingerprint(folder, cache=cache) for folder in (one, two))
    for memo in (cache / "fingerprints").iterdir():
        content = memo.read_bytes()
        other = next(path for path in (cache / "fingerprints").iterdir() if path != memo).read_bytes()
        turned = bytes([ord("0") if content[5] != ord("0") else ord("1")])
        memo.write_bytes(
            {
                "empty": b"",
                "cut": content[:64],
                "digit": content[:5] + turned + content[6:],
                "other": other,
                "bytes": b"\xff" * 130,
            }[damage]
        )
        assert (weights_fingerprint(one, cache=cache), weights_fingerprint(two, cache=cache)) == (first, second)
        assert memo.read_bytes() == content


def test_a_file_that_changes_while_it_is_read_has_no_identity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = _tiny(tmp_path / "one", {"a": torch.zeros(2)})

    def written_meanwhile(settings: object, entries: object) -> str:
        save_file({"a": torch.ones(2)}, folder / "model.safetensors")
        return "0" * 64

    monkeypatch.setattr("spillover.models.fingerprint._digest_of", written_meanwhile)
    with pytest.raises(UserError, match=r"model\.safetensors: changed while it was read; wait until"):
        weights_fingerprint(folder, cache=tmp_path / "cache")
    assert not (tmp_path / "cache" / "fingerprints").exists()


def test_the_tokenizer_is_known_by_content_and_not_by_where_it_was_saved(folder: Path, tmp_path: Path) -> None:
    other = model_folder(tmp_path / "other", seed=1)
    assert weights_fingerprint(other) != weights_fingerprint(folder)
    path = other / "tokenizer_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(config | {"is_local": not config.get("is_local")}), encoding="utf-8")
    assert tokenizer_fingerprint(other) == tokenizer_fingerprint(folder)
    path.write_text(json.dumps(config | {"add_bos_token": True}), encoding="utf-8")
    assert tokenizer_fingerprint(other) != tokenizer_fingerprint(folder)


def test_the_tokenizer_fingerprint_is_remembered_apart_from_the_weights(folder: Path, tmp_path: Path) -> None:
    first = weights_fingerprint(folder, cache=tmp_path), tokenizer_fingerprint(folder, cache=tmp_path)
    assert (weights_fingerprint(folder, cache=tmp_path), tokenizer_fingerprint(folder, cache=tmp_path)) == first
    assert len(list((tmp_path / "fingerprints").iterdir())) == 2


def test_parameters_are_counted_once_where_tied(folder: Path) -> None:
    embedding, attention, feed_forward = 261 * 32, 32 * 32 * 2 + 32 * 16 * 2, 3 * 32 * 64
    assert parameter_count(folder) == embedding + 2 * (attention + feed_forward + 2 * 32) + 32


def test_a_tensor_in_two_files_is_refused(tmp_path: Path) -> None:
    folder = tmp_path
    for name in ("one", "two"):
        save_file({"a": torch.zeros(2)}, folder / f"{name}.safetensors")
    index = {"weight_map": {"a": "one.safetensors", "b": "two.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    with pytest.raises(UserError, match=r"two\.safetensors: tensor 'a' is also in one\.safetensors; remove one"):
        tensor_entries(folder)


def test_a_shard_that_is_missing_or_elsewhere_is_refused(tmp_path: Path) -> None:
    for name in ("gone.safetensors", "../model.safetensors"):
        index = {"weight_map": {"a": name}}
        (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
        with pytest.raises(UserError, match=f"names '{name}', which is not a file beside it"):
            weight_files(tmp_path)


def test_an_index_without_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors.index.json").write_text("{}", encoding="utf-8")
    with pytest.raises(UserError, match="names no files"):
        weight_files(tmp_path)


def test_pickled_weights_are_never_read(tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").write_bytes(b"pickle")
    with pytest.raises(UserError, match=r"no model\.safetensors \(it has \.bin files, which can run code"):
        weight_files(tmp_path)


@pytest.mark.parametrize("content", [b"", b"\x00" * 4, struct.pack("<Q", 1 << 60), struct.pack("<Q", 2) + b"[]"])
def test_a_damaged_weights_file_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(UserError, match=r"model\.safetensors: damaged safetensors file"):
        tensor_entries(tmp_path)


def test_a_tensor_that_reaches_past_the_file_is_refused(tmp_path: Path) -> None:
    header = json.dumps({"a": {"dtype": "F32", "shape": [9], "data_offsets": [0, 36]}}).encode()
    (tmp_path / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + b"short")
    with pytest.raises(UserError, match="tensor 'a' lies outside the file"):
        tensor_entries(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, r"no config\.json; expected a Hugging Face model folder"), ("{", "not readable as JSON"), ("[]", "object")],
)
def test_a_missing_or_broken_config_is_named(tmp_path: Path, content: str | None, message: str) -> None:
    save_file({"a": torch.zeros(2)}, tmp_path / "model.safetensors")
    if content is not None:
        (tmp_path / "config.json").write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=message):
        weights_fingerprint(tmp_path)


def test_a_folder_without_tokenizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no tokenizer files; expected tokenizer\.json"):
        tokenizer_fingerprint(tmp_path)


@pytest.mark.parametrize(
    ("processor", "settings", "appends"),
    [
        (None, {}, False),
        (TemplateProcessing(single="<|end|> $A", special_tokens=[(END, 0)]), {}, False),
        (TemplateProcessing(single="$A <|end|>", special_tokens=[(END, 0)]), {}, True),
        (ByteLevel(), {}, False),
        (Sequence([ByteLevel(), TemplateProcessing(single="$A <|end|>", special_tokens=[(END, 0)])]), {}, True),
        (BertProcessing((END, 0), (END, 0)), {}, True),
        (None, {"add_eos_token": True}, True),
    ],
)
def test_a_folder_says_whether_its_tokenizer_appends_as_the_tokenizer_does(
    tmp_path: Path, processor: object, settings: dict[str, object], appends: bool
) -> None:
    tokenizer = byte_tokenizer()
    tokenizer.backend_tokenizer.post_processor = processor
    tokenizer.save_pretrained(tmp_path)
    said = json.loads((tmp_path / "tokenizer_config.json").read_text()) | settings
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(said))
    assert appends_special_tokens(tmp_path) is appends
    if not settings:
        assert bool(load_encoder(tmp_path).appended) is appends
