import json
import subprocess
import sys
from pathlib import Path

import pytest

from spillover.errors import UserError
from spillover.models import pull as pulling
from spillover.models.fingerprint import tokenizer_fingerprint, weights_fingerprint
from spillover.models.resolve import context_length, resolve_model
from spillover.models.spec import ModelKind, model_spec
from tests.models.folders import gguf_file, model_folder, tiny_llama


def test_a_folder_is_described_from_its_files_alone(tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "my-model")
    found = resolve_model(str(folder), cache=tmp_path / "cache")
    assert (found.name, found.path, found.context_length) == ("my-model", folder, 256)
    assert found.fingerprint == weights_fingerprint(folder)
    assert found.tokenizer_fingerprint == tokenizer_fingerprint(folder)
    assert found.parameter_count == sum(parameter.numel() for parameter in tiny_llama().parameters())
    assert (found.kind, found.licence) == ("unstated", "unstated")


def test_a_gguf_file_is_converted_and_described(tmp_path: Path) -> None:
    path = gguf_file(tmp_path / "mine.gguf", tiny_llama())
    found = resolve_model(str(path), cache=tmp_path / "cache", notice=lambda _: None)
    assert found.name == "mine"
    assert found.path.is_relative_to(tmp_path / "cache" / "models")
    assert found.context_length == 256


@pytest.mark.parametrize("kind", ["instruct", "base"])
def test_a_pulled_model_states_kind_and_licence(tmp_path: Path, kind: ModelKind) -> None:
    spec = model_spec("smollm2-135m-instruct")
    folder = model_folder(pulling.converted_folder(spec.name, spec.sha256, cache=tmp_path))
    facts = {"weights": weights_fingerprint(folder, cache=None), "tokenizer": tokenizer_fingerprint(folder, cache=None)}
    facts |= {"kind": kind, "licence": "Apache-2.0"}
    (folder / "fingerprint.json").write_text(json.dumps(facts), encoding="utf-8")
    found = resolve_model(spec.name, cache=tmp_path, pull=False)
    assert (found.name, found.path, found.kind, found.licence) == (spec.name, folder, kind, "Apache-2.0")


def test_a_catalog_model_not_yet_pulled_says_how(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not in the cache; run: spillover models pull smollm2-135m-instruct"):
        resolve_model("smollm2-135m-instruct", cache=tmp_path, pull=False)


def test_terms_are_asked_for_before_a_download(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"Gemma Terms of Use .* must be accepted"):
        resolve_model("gemma3-270m", cache=tmp_path)


def test_an_unknown_name_comes_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="unknown model 'smollm2-135m'; did you mean 'smollm2-135m-instruct'"):
        resolve_model("smollm2-135m", cache=tmp_path)
    with pytest.raises(UserError, match="unknown model 'gemma'; did you mean"):
        model_spec("gemma")


@pytest.mark.parametrize("path", ["./no/such/folder", "/no/such/folder", "~/no/such"])
def test_a_path_that_does_not_exist_is_named(tmp_path: Path, path: str) -> None:
    with pytest.raises(UserError, match="no such folder; expected a Hugging Face model folder"):
        resolve_model(path, cache=tmp_path)


def test_an_adapter_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text("{}", encoding="utf-8")
    with pytest.raises(UserError, match="an adapter, not a model; give the base model here"):
        resolve_model(str(tmp_path), cache=tmp_path)


def test_an_empty_folder_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no config\.json; expected a Hugging Face model folder"):
        resolve_model(str(tmp_path), cache=tmp_path)


@pytest.mark.parametrize(
    ("config", "length"), [({"n_positions": 64}, 64), ({"text_config": {"max_position_embeddings": 128}}, 128)]
)
def test_the_context_length_is_read_where_families_keep_it(
    tmp_path: Path, config: dict[str, object], length: int
) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    assert context_length(tmp_path) == length


def test_a_config_without_context_length_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    with pytest.raises(UserError, match=r"config\.json: no context length; expected one of max_position_embeddings"):
        context_length(tmp_path)


def test_resolving_a_model_that_is_there_loads_no_torch(tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "model")
    code = (
        "import sys; from pathlib import Path; from spillover.models.resolve import resolve_model; "
        f"resolve_model({str(folder)!r}, cache=Path({str(tmp_path)!r})); "
        "assert not {'torch', 'transformers', 'huggingface_hub', 'requests'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
