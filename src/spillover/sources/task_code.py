"""Which folders of a user's own lm-eval tasks may be read: reading one runs its code, so they are agreed to first."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from spillover.artifacts.cache import whole_file
from spillover.errors import UserError


def trust(folders: Iterable[Path], *, cache: Path) -> None:
    """Remember that the user agrees to what the folders hold now.

    Raises:
        UserError: If one is no folder.
    """
    for folder in folders:
        if not folder.is_dir():
            raise UserError(f"--trust-task-code: {folder} is no folder; give the folder that holds the tasks")
        with whole_file(_agreement(folder, cache)):
            pass  # its name says it all


def require_trusted(folders: Iterable[Path], *, cache: Path) -> None:
    """Refuse folders whose content the user has not agreed to.

    lm-eval imports the functions that a task names and fills its templates without a sandbox, so that a folder without
    any Python runs code as well.

    Raises:
        UserError: If one is not agreed to, or changed since.
    """
    for folder in folders:
        if folder.is_dir() and not _agreement(folder, cache).is_file():
            raise UserError(
                f"lm_eval_include: lm-eval runs code of {folder} to read its tasks; look at it, then agree once with "
                f"--trust-task-code {folder} (it is asked again when a file there changes)"
            )


def _agreement(folder: Path, cache: Path) -> Path:
    """Return the file that says a content is agreed to, wherever it lies; what Python compiled of it counts not."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            with path.open("rb") as opened:
                content = hashlib.file_digest(opened, "sha256").hexdigest()
            digest.update(f"{path.relative_to(folder).as_posix()}\0{content}\n".encode(errors="surrogateescape"))
    return cache / "trusted-task-code" / digest.hexdigest()
