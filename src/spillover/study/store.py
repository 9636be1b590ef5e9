"""Where finished steps live: directories that appear by rename, each with a manifest of its files' digests.

An unfinished step does not exist. Several processes may share a store.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from spillover.artifacts.cache import room_on_disk
from spillover.errors import SpilloverError, UserError

MANIFEST = "manifest.json"


class Store:
    """A folder of finished steps.

    Args:
        root: The store's folder; created by the first step that is written.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def folder(self, kind: str, key: str) -> Path:
        """Return where a finished step of this kind and key is, or will be."""
        return self.root / kind / key

    def has(self, kind: str, key: str) -> bool:
        """Whether the step is finished."""
        return (self.folder(kind, key) / MANIFEST).is_file()

    def manifest(self, kind: str, key: str) -> Mapping[str, Any]:
        """Return a finished step's manifest: ``fields``, ``files``, ``provenance``."""
        path = self.folder(kind, key) / MANIFEST
        try:
            loaded: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise SpilloverError(f"{path} cannot be read ({error}); remove its folder and run again") from error
        return loaded

    def file(self, kind: str, key: str, name: str) -> Path:
        """Return the path of a finished step's file after checking its digest.

        Raises:
            UserError: If the file is missing or its bytes are not those that were written.
        """
        step = self.folder(kind, key)
        path = step / name
        expected = self.manifest(kind, key)["files"].get(name)
        if expected is None or not path.is_file():
            raise UserError(f"{path} is missing from a finished step; remove {step} and run again")
        found = _file_digest(path)
        if found != expected:
            raise UserError(
                f"{path} has the digest {found[:12]}, its manifest says {expected[:12]}; "
                f"the file was changed or damaged: remove {step} and run again"
            )
        return path

    def write(
        self, kind: str, key: str, fill: Callable[[Path], Mapping[str, Any]], *, fields: Mapping[str, Any]
    ) -> None:
        """Compute a step unless it is finished: ``fill`` writes its files and returns its provenance.

        One process at a time computes a step; another one waits and then finds it finished. Whatever a killed process
        left behind is removed first.

        Raises:
            UserError: If the disk is full.
        """
        with self._lock(key):
            if self.has(kind, key):
                return
            unfinished = self.root / "unfinished" / key
            shutil.rmtree(unfinished, ignore_errors=True)
            try:
                with room_on_disk(self.root):
                    self._writable(lambda: unfinished.mkdir(parents=True))
                    provenance = fill(unfinished)
                    self._seal(unfinished, kind, key, fields, provenance)
            finally:
                shutil.rmtree(unfinished, ignore_errors=True)

    def _writable(self, make: Callable[[], None]) -> None:
        try:
            make()
        except OSError as error:
            raise UserError(f"cannot write to the store {self.root}: {error}; choose another with --store") from error

    def _seal(
        self, unfinished: Path, kind: str, key: str, fields: Mapping[str, Any], provenance: Mapping[str, Any]
    ) -> None:
        files = {str(path.relative_to(unfinished)): path for path in sorted(unfinished.rglob("*")) if path.is_file()}
        manifest = {
            "kind": kind,
            "key": key,
            "fields": dict(fields),
            "files": {name: _file_digest(path) for name, path in files.items()},
            "provenance": dict(provenance),
        }
        (unfinished / MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")
        for path in [*files.values(), unfinished / MANIFEST]:
            with path.open("rb") as written:
                os.fsync(written.fileno())
        finished = self.folder(kind, key)
        finished.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(finished, ignore_errors=True)  # a folder without a manifest is not a finished step
        unfinished.rename(finished)

    @contextlib.contextmanager
    def _lock(self, key: str) -> Iterator[None]:
        """Hold the step for this process; the system lets go of it when the process dies, however it dies."""
        folder = self.root / "locks"
        self._writable(lambda: folder.mkdir(parents=True, exist_ok=True))
        with (folder / key).open("w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield


def _file_digest(path: Path) -> str:
    with path.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
