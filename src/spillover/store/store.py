"""Where finished steps live: directories that appear by rename, each with a manifest of its files' digests.

An unfinished step does not exist. Several processes may share a store.
"""

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from filelock import FileLock, Timeout

from spillover.artifacts.cache import room_on_disk
from spillover.errors import UserError

MANIFEST = "manifest.json"
FORMAT = 1
"""Of manifests; one that says nothing of its format was written before they did, and is read like this one."""


AGAIN = "`spillover run` computes the step again"


class DamagedStepError(UserError):
    """A finished step is not as it was written."""


class StoreError(UserError):
    """The store cannot be written: no step of a run can be finished."""


class Stored(Protocol):
    """A unit of work as the store sees it."""

    @property
    def kind(self) -> str:
        """Of work."""

    @property
    def key(self) -> str:
        """Its identity."""

    def fields(self) -> Mapping[str, Any]:
        """Return everything of the step itself that can change a number, as plain data."""


class Store:
    """A folder of finished steps.

    Args:
        root: The store's folder; created by the first step that is written.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def folder(self, step: Stored) -> Path:
        """Return where a finished step is, or will be."""
        return self.root / step.kind / step.key

    def has(self, step: Stored) -> bool:
        """Whether the step is finished."""
        return (self.folder(step) / MANIFEST).is_file()

    def manifest(self, step: Stored) -> Mapping[str, Any]:
        """Return a finished step's manifest: ``fields``, ``files``, ``provenance``.

        Raises:
            DamagedStepError: If it is not what was written.
            UserError: If another version of this program wrote it.
        """
        path = self.folder(step) / MANIFEST
        try:
            loaded = json.loads(path.read_text(encoding="utf-8"))
            stated = loaded.pop("format", None), loaded.pop("digest", None)
            sound = isinstance(loaded["files"], dict) and isinstance(loaded["provenance"], dict)
        except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            raise DamagedStepError(f"{path} cannot be read ({error}); {AGAIN}") from error
        if stated[0] not in (None, FORMAT):
            raise UserError(
                f"{path} is of format {stated[0]!r}, this version of spillover reads {FORMAT}; "
                "use the version that wrote it, or choose another store with --store"
            )
        if not sound or (stated != (None, None) and stated[1] != _manifest_digest(loaded)):
            raise DamagedStepError(f"{path} was changed or damaged; {AGAIN}")
        return loaded  # type: ignore[no-any-return]

    def file(self, step: Stored, name: str) -> Path:
        """Return the path of a finished step's file after checking its digest.

        Raises:
            DamagedStepError: If the file is missing or its bytes are not those that were written.
        """
        path = self.folder(step) / name
        expected = self.manifest(step)["files"].get(name)
        if expected is None or not path.is_file():
            raise DamagedStepError(f"{path} is missing from a finished step; {AGAIN}")
        found = _file_digest(path)
        if found != expected:
            raise DamagedStepError(
                f"{path} has the digest {found[:12]}, its manifest says {expected[:12]}: "
                f"the file was changed or damaged; {AGAIN}"
            )
        return path

    def check(self, step: Stored, *, but: Collection[str] = ()) -> None:
        """Check the digests of a finished step's files, those in its folders ``but`` left out.

        Raises:
            DamagedStepError: If one is not as it was written.
        """
        for name in self.manifest(step)["files"]:
            if Path(name).parts[0] not in but:
                self.file(step, name)

    def remove_damaged(self, step: Stored) -> None:
        """Remove a step that is damaged, unless another process has put a sound one in its place."""
        with self._lock(step.key):
            try:
                self.check(step)
            except DamagedStepError:
                with self._writing():
                    shutil.rmtree(self.folder(step))

    def write(
        self,
        step: Stored,
        fill: Callable[[Path], Mapping[str, Any]],
        *,
        wait: bool = True,
    ) -> bool:
        """Compute a step unless it is finished: ``fill`` writes its files and returns its provenance.

        One process at a time computes a step; another one waits and then finds it finished. Whatever a killed process
        left behind is removed first.

        Args:
            wait: Whether to wait for another process that is computing the step.

        Returns:
            Whether the step is finished now: without ``wait``, not while another process computes it.

        Raises:
            StoreError: If the store cannot be written.
            NoRoomError: If the disk is full.
        """
        with self._lock(step.key, wait=wait) as held:
            if not held or self.has(step):
                return held
            unfinished = self.root / "unfinished" / step.key
            shutil.rmtree(unfinished, ignore_errors=True)
            try:
                with room_on_disk(self.root):
                    with self._writing():
                        unfinished.mkdir(parents=True)
                    provenance = fill(unfinished)
                    with self._writing():
                        self._seal(unfinished, step, provenance)
            finally:
                shutil.rmtree(unfinished, ignore_errors=True)
        return True

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            with room_on_disk(self.root):
                yield
        except OSError as error:
            raise StoreError(f"cannot write to the store {self.root}: {error}; choose another with --store") from error

    def _seal(self, unfinished: Path, step: Stored, provenance: Mapping[str, Any]) -> None:
        files = {
            path.relative_to(unfinished).as_posix(): path for path in sorted(unfinished.rglob("*")) if path.is_file()
        }
        manifest = {
            "kind": step.kind,
            "key": step.key,
            "fields": dict(step.fields()),
            "files": {name: _file_digest(path) for name, path in files.items()},
            "provenance": dict(provenance),
        }
        sealed = {**manifest, "format": FORMAT, "digest": _manifest_digest(manifest)}
        (unfinished / MANIFEST).write_text(json.dumps(sealed, indent=1), encoding="utf-8")
        for path in [*files.values(), unfinished / MANIFEST]:
            shutil.copymode(unfinished / MANIFEST, path)  # safetensors lets nobody else read what it writes
            with path.open("r+b") as written:  # Windows takes nothing else
                os.fsync(written.fileno())
        finished = self.folder(step)
        finished.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(finished, ignore_errors=True)  # a folder without a manifest is not a finished step
        unfinished.rename(finished)

    @contextlib.contextmanager
    def _lock(self, key: str, *, wait: bool = True) -> Iterator[bool]:
        """Hold the step for this process, or say that another one does; the system lets go of it when it dies."""
        folder = self.root / "locks"
        with contextlib.ExitStack() as stack:
            with self._writing():
                folder.mkdir(parents=True, exist_ok=True)
                if folder.is_symlink():
                    raise OSError(f"{folder} is a link, what it leads to is not the store's")
                try:
                    stack.enter_context(FileLock(folder / key, timeout=-1 if wait else 0))
                except Timeout:
                    held = False
                else:
                    held = True
            yield held


def _manifest_digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _file_digest(path: Path) -> str:
    with path.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
