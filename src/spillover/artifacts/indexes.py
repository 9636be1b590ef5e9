"""The package indexes and folders that the user's pip is configured for."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass

SECTIONS = ("global", "install", "download", ":env:")
"""From weakest to strongest: pip lets a command's own section override the global one, and the environment all."""


@dataclass(frozen=True, slots=True)
class PackageIndexes:
    """Where pip would look for a project, in the order it is asked for here."""

    endpoints: tuple[str, ...]
    """Simple-API roots, ``https://`` or ``file://``."""
    links: tuple[str, ...] = ()
    """Folders, ``file://`` folders or pages that list archives (pip's find-links)."""
    certificate: str | None = None
    proxy: str | None = None
    timeout_seconds: float = 60.0


def configured_indexes() -> PackageIndexes:
    """Ask the pip of this Python what it is configured for; without a pip, or settings, the public default."""
    listing = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False
    )
    return parsed_indexes(listing.stdout.splitlines() if listing.returncode == 0 else ())


def parsed_indexes(lines: Iterable[str]) -> PackageIndexes:
    """Read lines of ``pip config list``, such as ``global.index-url='https://…'``."""
    from pypi_simple import PYPI_SIMPLE_ENDPOINT

    found: list[tuple[int, str, str]] = []
    for line in lines:
        match = re.fullmatch(r"(:env:|[a-z]+)\.([a-z-]+)=(.*)", line.strip())
        if match and match[1] in SECTIONS:
            found.append((SECTIONS.index(match[1]), match[2], str(ast.literal_eval(match[3]))))
    settings = {key: value for _, key, value in sorted(found, key=lambda entry: entry[0])}
    without_index = settings.get("no-index", "").lower() in ("1", "true", "yes", "on")
    endpoints = [settings.get("index-url") or PYPI_SIMPLE_ENDPOINT, *settings.get("extra-index-url", "").split()]
    timeout = settings.get("timeout") or settings.get("default-timeout") or "60"
    return PackageIndexes(
        endpoints=() if without_index else tuple(endpoints),
        links=tuple(settings.get("find-links", "").split()),
        certificate=settings.get("cert") or None,
        proxy=settings.get("proxy") or None,
        timeout_seconds=float(timeout),
    )
