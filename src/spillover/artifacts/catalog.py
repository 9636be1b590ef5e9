"""The pinned archives this project knows: which file, which digest, which licence."""

import re
from dataclasses import dataclass
from functools import cache
from importlib import resources

import yaml

from spillover.errors import unknown_name


@dataclass(frozen=True, slots=True)
class Artifact:
    """One file of one release of a project on a Python package index."""

    name: str
    """The project, normalised: lower case, single hyphens."""
    version: str
    filename: str
    sha256: str
    size_megabytes: float
    """About; for a progress bar before the server has said."""
    licence: str


def artifact(name: str) -> Artifact:
    """Return the pinned artifact of a project; case and ``-_.`` are one spelling, an unknown name raises UserError."""
    known = artifacts()
    normalised = normalised_project_name(name)
    if normalised not in known:
        raise unknown_name("artifact", name, known)
    return known[normalised]


@cache
def artifacts() -> dict[str, Artifact]:
    """Return every pinned artifact by name."""
    text = resources.files("spillover.artifacts").joinpath("catalog.yaml").read_text(encoding="utf-8")
    return {name: Artifact(name=name, **fields) for name, fields in yaml.safe_load(text).items()}


def normalised_project_name(name: str) -> str:
    """Return the one spelling under which an index lists a project (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()
