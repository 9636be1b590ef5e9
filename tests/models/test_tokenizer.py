import json
import subprocess
import sys
from pathlib import Path

import pytest
from transformers import AutoTokenizer, LlamaConfig
from transformers.models.auto.tokenization_auto import MODELS_WITH_INCORRECT_HUB_TOKENIZER_CLASS

from spillover.models.plain_tokenizer import PLAIN, TRUSTED, names_plain_tokenizer, plain_tokenizer
from spillover.models.tokenizer import load_encoder, load_tokenizer, quiet_transformers
from spillover.prompts.encoding import Encoder
from tests.models.folders import byte_tokenizer

TEXTS = ("a", "", " is  it", "caf\u00e9 \U0001f600", "one<|end|>two <|end|>")
TEXT = "  Two spaces, a täble\n\n### and <|end|> the end"


def folder_of(path: Path, model_type: str, **changes: object) -> Path:
    """Save a tokenizer beside the settings of an architecture."""
    byte_tokenizer().save_pretrained(path)
    LlamaConfig().save_pretrained(path)
    for name, change in (("config.json", {"model_type": model_type}), ("tokenizer_config.json", changes)):
        file = path / name
        file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    return path


@pytest.mark.parametrize("model_type", TRUSTED)
@pytest.mark.parametrize("name", PLAIN)
def test_what_is_loaded_without_torch_is_what_transformers_would_load(tmp_path, model_type, name):
    path = folder_of(tmp_path, model_type, tokenizer_class=name)
    assert names_plain_tokenizer(path)
    assert model_type not in MODELS_WITH_INCORRECT_HUB_TOKENIZER_CLASS
    found = load_tokenizer(path)
    with quiet_transformers():
        whole = AutoTokenizer.from_pretrained(path)
    assert type(found) is type(whole)
    assert found.backend_tokenizer.to_str() == whole.backend_tokenizer.to_str()
    assert found(TEXT)["input_ids"] == whole(TEXT)["input_ids"]
    assert found.special_tokens_map == whole.special_tokens_map | {"pad_token": found.pad_token}


@pytest.mark.parametrize("template", [None, "{{ bos_token }}{{ '<|end|>' }}"])
@pytest.mark.parametrize("model_type", TRUSTED)
def test_an_encoder_without_transformers_makes_the_ids_and_the_texts_of_one_with_it(tmp_path, model_type, template):
    path = folder_of(tmp_path, model_type, tokenizer_class=PLAIN[0])
    if template:
        (path / "chat_template.jinja").write_text(template)
    assert plain_tokenizer(path) is not None
    plain, whole = load_encoder(path), Encoder(load_tokenizer(path))
    texts = [*TEXTS, TEXT]
    assert plain.prompts(texts) == whole.prompts(texts)
    assert plain.targets(["a", TEXT]) == whole.targets(["a", TEXT])
    ids = whole.prompts([TEXT])[0]
    assert plain.decode(ids) == whole.decode(ids)
    assert [*map(plain.token_text, ids)] == [*map(whole.token_text, ids)]
    for name in ("end_token_id", "begin_token_id", "begin_marks_turns", "appended", "control_tokens"):
        assert getattr(plain, name) == getattr(whole, name), name
    assert (plain.pads_with_end, plain.puts_space_first) == (whole.pads_with_end, whole.puts_space_first)


@pytest.mark.parametrize(
    "changes",
    [
        {"extra_special_tokens": ["<|more|>"]},
        {"eos_token": "<|not in tokenizer.json|>"},
        {"eos_token": {"__type": "AddedToken", "content": "<|end|>", "lstrip": True}},
        {"eos_token": None},
        {"split_special_tokens": True},
        {"tokenizer_class": "LlamaTokenizer"},
    ],
    ids=str,
)
def test_settings_that_may_change_an_id_are_left_to_transformers(tmp_path, changes):
    assert plain_tokenizer(folder_of(tmp_path, "llama", **{"tokenizer_class": PLAIN[0], **changes})) is None


def test_files_that_say_more_or_are_broken_are_left_to_transformers(tmp_path):
    path = folder_of(tmp_path, "llama", tokenizer_class=PLAIN[0])
    assert plain_tokenizer(path) is not None
    (path / "added_tokens.json").write_text('{"<|more|>": 300}')
    assert plain_tokenizer(path) is None
    (path / "added_tokens.json").unlink()
    (path / "tokenizer.json").write_text('{"model": 1}')
    assert plain_tokenizer(path) is None


@pytest.mark.parametrize(
    ("model_type", "changes"),
    [
        ("qwen2", {"tokenizer_class": "TokenizersBackend"}),
        ("llama", {"tokenizer_class": "LlamaTokenizer"}),
        ("llama", {"tokenizer_class": "TokenizersBackend", "auto_map": {"AutoTokenizer": ["a.B", None]}}),
        ("llama", {"tokenizer_class": None}),
    ],
)
def test_whatever_transformers_may_know_better_is_left_to_it(tmp_path, model_type, changes):
    assert not names_plain_tokenizer(folder_of(tmp_path, model_type, **changes))


def test_a_folder_without_settings_or_with_broken_ones_is_left_to_transformers(tmp_path):
    assert not names_plain_tokenizer(tmp_path)
    path = folder_of(tmp_path, "llama", tokenizer_class="TokenizersBackend")
    (path / "config.json").write_text("{")
    assert not names_plain_tokenizer(path)


@pytest.mark.parametrize("command", ["plan", "lint"])
def test_rows_are_encoded_without_loading_torch_or_transformers(made_study_file, tmp_path, command):
    words = [command, str(made_study_file), *(["--no-calibration"] if command == "plan" else [])]
    code = (
        "import sys, spillover.cli as c\n"
        f"try: c.main({words!r})\n"
        "except SystemExit as stop: assert not stop.code\n"
        "print({'torch', 'transformers'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "set()"
