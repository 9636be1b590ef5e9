"""Getting a pinned archive: from the cache, from a folder of downloads, or from the configured indexes."""

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

from spillover.artifacts.cache import whole_file
from spillover.artifacts.catalog import Artifact
from spillover.artifacts.download import Progress, download
from spillover.artifacts.indexes import PackageIndexes, configured_indexes
from spillover.errors import UserError


def fetch(
    artifact: Artifact,
    *,
    cache: Path,
    folder: Path | None = None,
    progress: Progress | None = None,
    notice: Callable[[str], None] | None = None,
    indexes: PackageIndexes | None = None,
) -> Path:
    """Return the local archive of ``artifact``, its digest checked; the first fetch says the licence.

    Args:
        artifact: From the catalog.
        cache: Root of the cache; archives are kept in its ``artifacts`` folder.
        folder: Already downloaded archives, looked at (not below) before any index.
        progress: Told how much of a download has arrived.
        notice: Told one line with the licence when the archive is new to the cache.
        indexes: Where to look; by default what pip is configured for.

    Raises:
        UserError: The digest differs, nothing offers the file, or the disk is full.
    """
    kept = cache / "artifacts" / artifact.filename
    if kept.is_file():
        require_digest(kept, artifact.sha256)
        return kept
    if folder is not None and not folder.is_dir():
        raise UserError(f"{folder} is not a folder; give the folder that holds {artifact.filename}")
    with whole_file(kept) as temporary:
        if folder is not None and (folder / artifact.filename).is_file():
            shutil.copyfile(folder / artifact.filename, temporary)
            require_digest(temporary, artifact.sha256, came_from=folder / artifact.filename)
        else:
            download(artifact, temporary, indexes or configured_indexes(), progress)
            require_digest(temporary, artifact.sha256, came_from=Path(artifact.filename))
    if notice is not None:
        notice(f"{artifact.filename}: licence {artifact.licence}")
    return kept


def require_digest(path: Path, sha256: str, *, came_from: Path | None = None) -> None:
    """Raise a UserError that names the file unless its SHA-256 is the pinned one."""
    got = sha256_of(path)
    if got != sha256:
        raise UserError(
            f"{came_from or path}: expected SHA-256 {sha256}, got {got}; delete that copy and fetch it again"
        )


def sha256_of(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
