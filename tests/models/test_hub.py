import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

import pytest

from spillover.errors import UserError
from spillover.models.hub import hub_folder
from spillover.models.resolve import resolve_model
from tests.models.folders import model_folder

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = model_folder(tmp_path_factory.mktemp("repository"))
    (folder / "README.md").write_text("---\nlicense: mit\n---\n# Tiny\n", encoding="utf-8")
    (folder / "modeling.py").write_text("raise SystemExit", encoding="utf-8")
    (folder / "pytorch_model.bin").write_bytes(b"pickle")
    (folder / "onnx").mkdir()
    (folder / "onnx" / "config.json").write_text("{}", encoding="utf-8")
    return folder


@pytest.fixture
def endpoint(repository: Path) -> Iterator[str]:
    """A hub on loopback with one repository, ``owner/tiny``, and one that needs permission."""
    files = {str(path.relative_to(repository)): path.read_bytes() for path in repository.rglob("*") if path.is_file()}

    class Hub(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self._answer(with_body=False)

        def do_GET(self) -> None:
            self._answer(with_body=True)

        def _answer(self, *, with_body: bool) -> None:
            path = unquote(self.path.partition("?")[0])
            name = path.removeprefix(f"/owner/tiny/resolve/{COMMIT}/")
            headers = {"X-Repo-Commit": COMMIT}
            status, body = 404, b""
            if path in ("/api/models/owner/tiny/revision/main", f"/api/models/owner/tiny/revision/{COMMIT}"):
                siblings = [{"rfilename": name} for name in files]
                status, body = 200, json.dumps({"id": "owner/tiny", "sha": COMMIT, "siblings": siblings}).encode()
                headers["Content-Type"] = "application/json"
            elif path == f"/api/models/owner/tiny/tree/{COMMIT}":
                tree = [
                    {"type": "file", "path": name, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}
                    for name, content in files.items()
                ]
                status, body = 200, json.dumps(tree).encode()
                headers["Content-Type"] = "application/json"
            elif path.startswith("/api/models/owner/tiny/revision/"):
                headers["X-Error-Code"] = "RevisionNotFound"
            elif path.startswith("/api/models/owner/gated/"):
                status, headers["X-Error-Code"] = 403, "GatedRepo"
            elif name in files:
                status, body = 200, files[name]
                headers["ETag"] = f'"{hashlib.sha1(body).hexdigest()}"'
            else:
                headers["X-Error-Code"] = "RepoNotFound"
            self.send_response(status)
            for key, value in headers.items():
                self.send_header(key, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if with_body:
                self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_weights_settings_and_tokenizer_are_fetched_and_no_code(endpoint: str, tmp_path: Path) -> None:
    folder = hub_folder("owner/tiny", endpoint=endpoint, cache=tmp_path)
    found = {path.name for path in folder.iterdir()}
    assert {"model.safetensors", "config.json", "tokenizer.json", "README.md"} <= found
    assert not found & {"modeling.py", "pytorch_model.bin", "onnx"}


def test_what_was_fetched_is_found_without_the_network(endpoint: str, tmp_path: Path) -> None:
    first = hub_folder("owner/tiny", endpoint=endpoint, cache=tmp_path)
    assert hub_folder("owner/tiny", local_files_only=True, cache=tmp_path) == first
    assert hub_folder(f"owner/tiny@{COMMIT}", local_files_only=True, cache=tmp_path) == first


def test_a_hub_id_resolves_to_a_described_model(
    endpoint: str, tmp_path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub_folder("owner/tiny", endpoint=endpoint, cache=tmp_path / "hub")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    found = resolve_model("owner/tiny", cache=tmp_path / "cache", pull=False)
    assert (found.name, found.licence, found.kind) == ("owner/tiny", "mit", "unstated")
    assert found.fingerprint == resolve_model(str(repository), cache=tmp_path / "cache").fingerprint


@pytest.mark.parametrize("name", ["owner/none", "owner/tiny@nowhere"])
def test_an_unknown_repository_or_revision_is_named(endpoint: str, tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match=f"unknown model '{name}': no such folder, no model of"):
        hub_folder(name, endpoint=endpoint, cache=tmp_path)


def test_a_repository_that_needs_permission_says_so(endpoint: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="only to accounts with access; run: hf auth login"):
        hub_folder("owner/gated", endpoint=endpoint, cache=tmp_path)


@pytest.mark.parametrize("local_files_only", [True, False])
def test_no_network_and_nothing_cached_says_what_to_do(tmp_path: Path, local_files_only: bool) -> None:
    with pytest.raises(UserError, match="is not on this disk and the hub cannot be reached; check the network"):
        hub_folder("owner/tiny", endpoint="http://127.0.0.1:9", cache=tmp_path, local_files_only=local_files_only)
