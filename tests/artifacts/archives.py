"""Small archives and a loopback server for the tests of the artifacts room."""

import hashlib
import io
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from spillover.artifacts.catalog import Artifact


def zip_bytes(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def tar_bytes(members: dict[str, bytes], extra: tuple[tarfile.TarInfo, ...] = ()) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        for info in extra:
            archive.addfile(info)
    return buffer.getvalue()


def made_artifact(
    content: bytes, *, name: str = "made-set", filename: str = "made_set-1.0-py3-none-any.whl"
) -> Artifact:
    return Artifact(
        name=name,
        version="1.0",
        filename=filename,
        sha256=hashlib.sha256(content).hexdigest(),
        size_megabytes=0.1,
        licence="MIT (made up)",
    )


def simple_index(root: Path, artifact: Artifact, content: bytes) -> Path:
    """Lay out ``root/simple/NAME/index.html`` whose link points at ``root/files/FILENAME``."""
    (root / "files").mkdir(parents=True, exist_ok=True)
    (root / "files" / artifact.filename).write_bytes(content)
    page = root / "simple" / artifact.name / "index.html"
    page.parent.mkdir(parents=True)
    link = f'<a href="../../files/{artifact.filename}#sha256={artifact.sha256}">{artifact.filename}</a>'
    page.write_text(f"<!DOCTYPE html><html><body>{link}</body></html>", encoding="utf-8")
    return root / "simple"


class _SilentHandler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@contextmanager
def served(root: Path) -> Iterator[str]:
    """Serve a folder on a free loopback port; yields its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_SilentHandler, directory=str(root)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
