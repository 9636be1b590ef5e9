"""Where a report goes, so that none takes the place of another study's."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from itertools import count
from pathlib import Path

from spillover.errors import UserError
from spillover.report.formats import Format

MARK = ".report-of.json"
"""Beside a report: the name of its study, and what tells it from others of that name."""

PARENT = Path("report")
LONGEST_NAME = 100
"""Characters of a folder's name, far below what file systems take."""


def report_folder(given: Path | None, name: str, origin: Sequence[str], *, called: str = "") -> Path:
    """Return the folder of a study's report.

    Args:
        given: What the user names; it is taken as it is.
        name: Of the study.
        origin: What tells the study from others of its name, see `StudyResults.origin`.
        called: What its folder is called where none is given; default: the study's name. Where another study's report
            is in the way, a number follows.

    Raises:
        UserError: If the given folder holds another study's report, or files that are no report's.
        OSError: If it cannot be read.
    """
    if given is not None:
        refuse_others(given, name, origin)
        return given
    plain = re.sub(r"[^\w.+-]+", "-", called or name)[:LONGEST_NAME].strip(".-") or "study"
    places = (PARENT / (f"{plain}-{number}" if number > 1 else plain) for number in count(1))
    return next(place for place in places if _holder(place, name, origin) is None)


def refuse_others(folder: Path, name: str, origin: Sequence[str]) -> None:
    """Refuse a folder with another study's report, or with files of the same names.

    Raises:
        UserError: If there is any.
    """
    if (holder := _holder(folder, name, origin)) is not None:
        raise UserError(f"{folder} holds {holder}, which would be overwritten; name another folder, or remove this one")


def mark(folder: Path, name: str, origin: Sequence[str]) -> str:
    """Return what is written as `MARK`; paths are told from the folder, so that both may move together."""
    return json.dumps([name, *(_from(folder, word) for word in origin)], ensure_ascii=False) + "\n"


def _from(folder: Path, word: str) -> str:
    if not Path(word).is_absolute():
        return word
    try:
        return Path(os.path.relpath(os.path.realpath(word), os.path.realpath(folder))).as_posix()
    except ValueError:  # on another drive
        return word


def _holder(folder: Path, name: str, origin: Sequence[str]) -> str | None:
    """Return what else than the study's own report a folder holds; None without anything."""
    try:
        found = json.loads((folder / MARK).read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return _unmarked(folder, name)
    except ValueError:
        return f"a damaged {MARK}"
    if found == json.loads(mark(folder, name, origin)):
        return None
    held = found[0] if isinstance(found, list) and found else "?"
    return f"the report of another study, {held!r}"


def _unmarked(folder: Path, name: str) -> str | None:
    """Return the same of a folder that bears no mark: one of an earlier version, or no report's."""
    there = [kind.file_name for kind in Format if (folder / kind.file_name).exists()]
    if not there:
        return None
    try:
        held = json.loads((folder / Format.JSON.file_name).read_bytes())["study"]
    except (OSError, ValueError, LookupError, TypeError):
        return f"{there[0]} of something else"
    return None if held == name else f"the report of another study, {held!r}"
