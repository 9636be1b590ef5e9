"""The package indexes and folders that the user's pip is configured for."""

import ast
import configparser
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

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
    """Ask the pip of this Python what it is configured for; without settings, the public default.

    A Python without pip, such as uv makes them, is configured by what pip and uv would read.
    """
    listing = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False
    )
    if listing.returncode == 0:
        return parsed_indexes(listing.stdout.splitlines())
    return parsed_indexes(settings_without_pip(os.environ))


def settings_without_pip(environment: Mapping[str, str], *, home: Path | None = None) -> Iterator[str]:
    """Yield settings as ``pip config list`` would, weakest first: files of pip, those of uv, and variables of both."""
    home = home or Path.home()
    settings = Path(environment.get("XDG_CONFIG_HOME") or home / ".config")
    roaming = Path(environment.get("APPDATA") or home)
    named = [Path(environment["PIP_CONFIG_FILE"])] if environment.get("PIP_CONFIG_FILE") else []
    of_pip = [Path("/etc/pip.conf"), home / ".pip/pip.conf", settings / "pip/pip.conf", roaming / "pip/pip.ini"]
    for file in [*of_pip, Path(sys.prefix) / "pip.conf", Path(sys.prefix) / "pip.ini", *named]:
        yield from _of_pip_file(file)
    named = [Path(environment["UV_CONFIG_FILE"])] if environment.get("UV_CONFIG_FILE") else []
    for file in [Path("/etc/uv/uv.toml"), roaming / "uv/uv.toml", settings / "uv/uv.toml", *named]:
        yield from _of_uv_file(file)
    for name, value in environment.items():
        if name.startswith("PIP_") and name != "PIP_CONFIG_FILE" and value:
            yield f":env:.{name.removeprefix('PIP_').lower().replace('_', '-')}={value!r}"
    for key, names in _OF_UV.items():
        if found := next((environment[name] for name in names if environment.get(name)), None):
            urls = [re.sub(r"^[\w-]+=", "", word) for word in found.split()]  # uv writes NAME=URL where one has a name
            yield f":env:.{key}={' '.join(urls)!r}"


_OF_UV = {
    "index-url": ("UV_DEFAULT_INDEX", "UV_INDEX_URL"),
    "extra-index-url": ("UV_INDEX", "UV_EXTRA_INDEX_URL"),
    "find-links": ("UV_FIND_LINKS",),
}


def _of_pip_file(file: Path) -> Iterator[str]:
    read = configparser.RawConfigParser()
    with suppress(OSError, configparser.Error, UnicodeDecodeError):  # pip would not start with it either
        read.read(file, encoding="utf-8")
    for section in read.sections():
        for key, value in read.items(section):
            yield f"{section}.{key.replace('_', '-')}={value!r}"


def _of_uv_file(file: Path) -> Iterator[str]:
    try:
        read = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return
    for table in (read.get("pip"), read):
        if not isinstance(table, dict):
            continue
        indexes = [entry for entry in table.get("index", []) if isinstance(entry, dict) and "url" in entry]
        main = next((entry["url"] for entry in indexes if entry.get("default")), table.get("index-url"))
        more = [entry["url"] for entry in indexes if not entry.get("default")] + list(table.get("extra-index-url", []))
        found = {"index-url": main, "extra-index-url": " ".join(map(str, more))}
        found["find-links"] = " ".join(map(str, table.get("find-links", [])))
        yield from (f"global.{key}={str(value)!r}" for key, value in found.items() if value)


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
