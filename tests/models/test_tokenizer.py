import json
import subprocess
import sys
from pathlib import Path

import pytest
from transformers import AutoTokenizer, LlamaConfig
from transformers.models.auto.tokenization_auto import MODELS_WITH_INCORRECT_HUB_TOKENIZER_CLASS

from spillover.models.tokenizer import PLAIN, TRUSTED, load_tokenizer, names_plain_tokenizer, quiet_transformers
from tests.models.folders import byte_tokenizer

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
def test_rows_are_encoded_without_loading_torch(made_study_file, tmp_path, command):
    words = [command, str(made_study_file), *(["--no-calibration"] if command == "plan" else [])]
    code = (
        "import sys, spillover.cli as c\n"
        f"try: c.main({words!r})\n"
        "except SystemExit as stop: assert not stop.code\n"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"
