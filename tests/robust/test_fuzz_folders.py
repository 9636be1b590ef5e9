"""Model, adapter, tokenizer and GGUF folders that are broken or hostile are taken in, or refused in one line."""

import json
import shutil
import struct
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from peft import LoraConfig, get_peft_model

from spillover.errors import SpilloverError
from spillover.models.adapters import attach
from spillover.models.adopted import check_adapter, resolve_adapter
from spillover.models.load import load_model
from spillover.models.pull import pull_gguf
from spillover.models.resolve import resolve_model
from spillover.models.tokenizer import load_encoder
from tests.models.folders import gguf_file, model_folder, tiny_llama
from tests.robust.budget import _no_network as no_network  # noqa: F401
from tests.robust.budget import fuzzed, survives
from tests.robust.mutations import as_yaml, spoiled, torn

COUNTS = pytest.mark.parametrize("count", [8, pytest.param(400, marks=pytest.mark.long)])
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 123\n"
DEEP = b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
SETTINGS = ["num_attention_heads", "num_hidden_layers", "hidden_size", "vocab_size", "rope_parameters", "hidden_act"]
SETTINGS += ["num_key_value_heads", "max_position_embeddings", "model_type", "dtype", "eos_token_id", "rms_norm_eps"]
SETTINGS += ["tie_word_embeddings", "architectures", "quantization_config", "_attn_implementation", "auto_map"]
ODD = [None, 0, -4, 1, 10**5, 10**12, 10**30, "4", "x\x1b[31m", [1], {}, True, 0.5, 1e-320, {"quant_method": "gptq"}]
ODD += [{"quant_method": "awq", "bits": 4}, {"quant_method": "bitsandbytes", "load_in_4bit": True}, "flash_attention_2"]
CARDS = [b"license: 2024-99-99", b"license: !!int x", b"a: &a [*a]\nlicense: *a", b"kind: " + b"[" * 3000]
CARDS += [b"license: \x1b[2J\xe2\x80\xae", b"license:\n- mit\n- " + b"x" * 10_000, b"\xff\xfe", DEEP]

pytestmark = [pytest.mark.usefixtures("no_network"), pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """A model, two adapters of it and a GGUF file, each in a folder of its own."""
    root = tmp_path_factory.mktemp("sound")
    model_folder(root / "model")
    for name, options in (("adapter", {}), ("carrying", {"modules_to_save": ["lm_head"]})):
        config = LoraConfig(task_type="CAUSAL_LM", r=2, target_modules=["q_proj", "v_proj"], **options)
        model = get_peft_model(tiny_llama(), config)
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.data.add_(0.01)
        model.save_pretrained(root / name)
    (root / "gguf").mkdir()
    gguf_file(root / "gguf" / "tiny.gguf", tiny_llama())
    return root


@st.composite
def headed(draw, content):
    """Draw a safetensors file with another header over the same tensors."""
    (length,) = struct.unpack("<Q", content[:8])
    header, body = json.loads(content[8 : 8 + length]), content[8 + length :]
    if draw(st.booleans()):
        entry = header[draw(st.sampled_from(sorted(header)))]
        key = draw(st.sampled_from(["dtype", "shape", "data_offsets", "other"]))
        entry[key] = draw(
            st.sampled_from(["F99", "I64", "F8_E4M3", 5, [7], [-32], [32.0], "32", [10**30], [0, 5], [0.5, 9], None])
        )
    else:
        header = draw(spoiled([header]))
    text = json.dumps(header).encode("utf-8", "backslashreplace")
    return struct.pack("<Q", len(text)) + text + body


@st.composite
def spoilt_files(draw, files):
    """Draw what some files of a folder hold instead: name to content, None where one is gone."""
    changed = {}
    for name in draw(st.lists(st.sampled_from(sorted(files)), min_size=1, max_size=2, unique=True)):
        content = files[name]
        choices = [torn([content]), st.sampled_from([None, b"", POINTER, DEEP, b"\x00" * 64, content[:-7], b"[]"])]
        if name.endswith(".json"):
            tree = json.loads(content)
            choices += [spoiled([tree]).map(as_json)] * 2
            if name == "config.json":
                pairs = st.tuples(st.sampled_from(SETTINGS), st.sampled_from(ODD))
                choices += [pairs.map(lambda pair, tree=tree: as_json({**tree, pair[0]: pair[1]}))] * 4
        if name.endswith(".safetensors"):
            choices += [headed(content)] * 3
        changed[name] = draw(st.one_of(choices))
    if "config.json" in files and draw(st.integers(0, 4)) == 0:
        changed["README.md"] = b"---\n" + draw(st.sampled_from(CARDS)) + b"\n---\n"
    return changed


def as_json(tree):
    try:
        return json.dumps(tree).encode("utf-8", "backslashreplace")
    except (TypeError, ValueError):
        return as_yaml(tree)


def tried(sound, kind, names, tmp_path, count, takes):
    """Give many spoilt copies of a folder to a call; return how many were refused and how many taken in."""
    files = {path.name: path.read_bytes() for path in (sound / kind).iterdir() if path.name in names}
    folder, outcomes = tmp_path / kind, Counter()

    @fuzzed(count)
    @given(changed=spoilt_files(files))
    def holds(changed):
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(sound / kind, folder)
        for name, content in changed.items():
            (folder / name).unlink(missing_ok=True)
            if content is not None:
                (folder / name).write_bytes(content)
        said = survives(lambda: takes(folder), folder)
        assert said.isprintable()
        assert not said or str(folder) in said or str(sound) in said
        outcomes["refused" if said else "taken in"] += 1

    holds()
    print(f"\n{kind} folders tried: {sum(outcomes.values())}, {dict(outcomes)}")
    assert outcomes["refused"] > 0.2 * count
    return outcomes


def whole(folder, cache):
    resolve_model(str(folder), cache=cache, notice=print)
    load_encoder(folder).prompts(["a b\n2"])
    load_model(folder, dtype="float32", device="cpu")


@COUNTS
def test_a_spoilt_model_folder_is_taken_in_or_one_line(sound, tmp_path, count):
    names = {"config.json", "generation_config.json", "model.safetensors"}
    tried(sound, "model", names, tmp_path, 2 * count, lambda folder: whole(folder, tmp_path / "cache"))


@COUNTS
def test_a_spoilt_tokenizer_is_taken_in_or_one_line(sound, tmp_path, count):
    names = {"tokenizer.json", "tokenizer_config.json"}
    tried(sound, "model", names, tmp_path, 2 * count, lambda folder: whole(folder, tmp_path / "cache"))


@COUNTS
@pytest.mark.parametrize("kind", ["adapter", "carrying"])
def test_a_spoilt_adapter_is_taken_in_or_one_line(sound, tmp_path, kind, count):
    base = resolve_model(str(sound / "model"), cache=tmp_path / "cache", notice=print)

    def takes(folder):
        resolve_adapter(folder, base, cache=tmp_path / "cache", notice=print)
        check_adapter(base.path, folder)
        attach(load_model(base.path, dtype="float32", device="cpu"), folder)

    tried(sound, kind, {"adapter_config.json", "adapter_model.safetensors"}, tmp_path, count, takes)


@COUNTS
def test_a_spoilt_gguf_file_is_taken_in_or_one_line(sound, tmp_path, count):
    content = (sound / "gguf" / "tiny.gguf").read_bytes()
    path, outcomes = tmp_path / "spoilt" / "tiny.gguf", Counter()
    path.parent.mkdir()

    @fuzzed(count)
    @given(spoilt=st.one_of(torn([content[:8000]]).map(lambda head: head + content[8000:]), patched(content)))
    def holds(spoilt):
        path.write_bytes(spoilt)
        said = survives(lambda: pull_gguf(path, cache=tmp_path / "cache", notice=print), path.parent)
        assert said.isprintable()
        assert not said or str(path) in said
        outcomes["refused" if said else "taken in"] += 1

    holds()
    print(f"\nGGUF files tried: {sum(outcomes.values())}, {dict(outcomes)}")
    assert outcomes["refused"]


@st.composite
def patched(draw, content):
    """Draw the GGUF file with one of its numbers replaced by an absurd one: a count, or a setting of the model."""
    value = draw(st.sampled_from([0, 1, 2**31 - 1, 2**32 - 1]))
    keys = [b"block_count", b"head_count", b"head_count_kv", b"embedding_length", b"context_length", b"vocab_size"]
    keys += [b"feed_forward_length", b"rope.dimension_count", b"bos_token_id", b"eos_token_id"]
    place = draw(st.sampled_from([b"GGUF", *keys]))
    at = content.index(place) + len(place) + (4 if place != b"GGUF" else draw(st.sampled_from([0, 4, 12])))
    return content[:at] + struct.pack("<I", value) + content[at + 4 :]


def test_settings_of_an_adapter_that_no_file_can_hold_are_one_line(sound, tmp_path):
    base = resolve_model(str(sound / "model"), cache=tmp_path / "cache", notice=print)
    shutil.copytree(sound / "adapter", tmp_path / "adapter")
    settings = tmp_path / "adapter" / "adapter_config.json"
    settings.write_text(json.dumps(json.loads(settings.read_text()) | {"\ud800": 1}))
    with pytest.raises(SpilloverError, match="adapter: this adapter cannot be read"):
        resolve_adapter(tmp_path / "adapter", base, cache=tmp_path / "cache", notice=print)


def test_what_is_refused_is_no_success_in_disguise(sound, tmp_path):
    """The sound folders are taken in, so that a refusal above is one of what was spoilt."""
    whole(sound / "model", tmp_path / "cache")
    base = resolve_model(str(sound / "model"), cache=tmp_path / "cache", notice=print)
    for kind in ("adapter", "carrying"):
        resolve_adapter(sound / kind, base, cache=tmp_path / "cache", notice=print)
        check_adapter(base.path, sound / kind)
    assert pull_gguf(sound / "gguf" / "tiny.gguf", cache=tmp_path / "cache", notice=print).is_dir()
    with pytest.raises(SpilloverError):
        whole(sound / "adapter", tmp_path / "cache")
