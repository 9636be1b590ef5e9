"""A step's key: SHA-256 over canonical bytes that are the same in every process, and refusal of anything else."""

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any


def canonical(value: object) -> bytes:
    """Return the canonical JSON of plain data.

    Raises:
        TypeError: If a value has no stable bytes (objects, sets, non-finite numbers, keys that are not text).
    """
    return json.dumps(_plain(value, "value"), sort_keys=True, ensure_ascii=True, separators=(",", ":")).encode()


def digest(value: object) -> str:
    """Return the SHA-256 of plain data in hexadecimal."""
    return hashlib.sha256(canonical(value)).hexdigest()


def _plain(value: object, where: str) -> Any:
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise TypeError(f"{where} is {value}, which has no stable bytes")
        return {"float": value.hex()}
    if isinstance(value, list | tuple):
        return [_plain(item, f"{where}[{index}]") for index, item in enumerate(value)]
    if isinstance(value, Mapping):
        return {_text(key, where): _plain(item, f"{where}.{key}") for key, item in value.items()}
    raise TypeError(f"{where} is a {type(value).__name__}, which has no stable bytes; pass plain data")


def _text(key: object, where: str) -> str:
    if not isinstance(key, str):
        raise TypeError(f"{where} has the key {key!r}; only text keys have stable bytes")
    return key
