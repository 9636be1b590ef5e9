"""Where the names of a study file are looked up: beside the file, in the cache, and in a release folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from spillover.artifacts.files import own_path
from spillover.models.resolve import resolve_model
from spillover.models.spec import ResolvedModel
from spillover.study.study_file import SuiteEntry
from spillover.tasks.suite import Suite, load_suite


@dataclass(frozen=True, slots=True)
class Here:
    """A study file, and what its names are looked up in."""

    path: Path
    """The study file, or where one would lie."""
    cache: Path
    """Where models and archives are kept."""
    folder: Path | None
    """The folder of the suite's release, before the one the file names."""
    notice: Callable[[str], None]
    """Called with what is worth saying on the way, such as a licence at the first download."""

    def __str__(self) -> str:
        """Return the file, as errors name it."""
        return str(self.path)

    def beside(self, name: str) -> str:
        """Return a path in the study file relative to that file; anything else is a name and stays."""
        name = str(own_path(name)) if name.startswith("~") else name
        beside = self.path.parent / name
        is_path = name.startswith((".", "/")) or (beside.exists() and ("/" in name or "." in name))
        return str(beside.absolute()) if is_path else name

    def model(self, name: str) -> ResolvedModel:
        """Return the model that a name of the file means."""
        return resolve_model(self.beside(name), cache=self.cache, folder=self.folder, notice=self.notice)

    def suite(self, entry: SuiteEntry) -> Suite:
        """Return the suite, its release read from a folder or, where the study's is not there, from the public one."""
        name = self.beside(entry.name)
        if self.folder or not entry.folder:
            return load_suite(name, folder=self.folder)
        named = self.path.parent / own_path(entry.folder)
        if not named.is_dir() and load_suite(name).base_url:
            self.notice(
                f"{named} is not there: the suite's pinned files will be downloaded; --from names another folder"
            )
            return load_suite(name)
        return load_suite(name, folder=named)
