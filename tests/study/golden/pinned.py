"""What the golden file says of every step, and where steps differ from it, in words."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from spillover.study.step import Step
from tests.study.golden.steps import label_of

FILE = Path(__file__).parent / "keys.json"
SHOWN = 40
"""Lines of differences at most."""

Pinned = Mapping[str, Mapping[str, Any]]
"""Label, ``study: step``, to kind, version, key, fields, and inputs by name to the label of each in the same study."""


def described(steps: Mapping[str, Step]) -> dict[str, dict[str, Any]]:
    """Return all that makes each step's key, as the plain data that a JSON file holds."""
    made = {
        label: {
            "kind": step.kind,
            "version": step.version,
            "key": step.key,
            "fields": dict(step.fields()),
            "inputs": {name: label_of(needed) for name, needed in step.inputs().items()},
        }
        for label, step in steps.items()
    }
    return json.loads(json.dumps(made))


def written(pinned: Pinned) -> str:
    """Return the file's text: a line a step, whose fields are digests, and a line for every value behind one."""
    values: dict[str, str] = {}
    lines = []
    for label, step in pinned.items():
        fields = {}
        for name, value in step["fields"].items():
            text = json.dumps(value, sort_keys=True)
            fields[name] = hashlib.sha256(text.encode()).hexdigest()[:8]
            assert values.setdefault(fields[name], text) == text
        lines.append(f"  {json.dumps(label)}: {json.dumps({**step, 'fields': fields})}")
    held = [f"  {json.dumps(short)}: {values[short]}" for short in sorted(values)]
    return '{\n "steps": {\n' + ",\n".join(lines) + '\n },\n "values": {\n' + ",\n".join(held) + "\n }\n}\n"


def read() -> dict[str, dict[str, Any]]:
    """Return what the golden file pins."""
    content = json.loads(FILE.read_text(encoding="utf-8"))
    values = content["values"]
    return {
        label: {**step, "fields": {name: values[short] for name, short in step["fields"].items()}}
        for label, step in content["steps"].items()
    }


def differences(pinned: Pinned, found: Pinned) -> list[str]:
    """Return a line for everything that is not as pinned: the step and the field, and what it was and is.

    A difference that many steps of a kind have is one line; steps that only read changed ones are counted at the end.
    """
    unpinned = {found[label]["key"]: label for label in found if label not in pinned}
    lines = [
        f"{label}: is gone"
        + (f", its key is that of {unpinned[key]!r} now" if (key := step["key"]) in unpinned else "")
        for label, step in pinned.items()
        if label not in found
    ]
    lines += [f"{label}: is new" for label in unpinned.values()]
    places: dict[tuple[str, str], list[str]] = {}
    following = []
    for label in sorted(pinned.keys() & found.keys()):
        was, now = pinned[label], found[label]
        own = list(_own_differences(was, now))
        if not own and was["key"] != now["key"]:
            needed = [f"{label.partition(': ')[0]}: {name}" for name in now["inputs"].values()]
            if any(pinned.get(name, {}).get("key") != found.get(name, {}).get("key") for name in needed):
                following.append(label)
            else:
                own = ["another key of the same kind, version, fields and inputs"]
        for difference in own:
            places.setdefault((now["kind"], difference), []).append(label)
    lines += [
        f"{labels[0]}: {difference}" + (f" (and so in {len(labels) - 1} more of kind {kind})" if labels[1:] else "")
        for (kind, difference), labels in places.items()
    ]
    if len(lines) > SHOWN:
        lines = [*lines[:SHOWN], f"... and {len(lines) - SHOWN} more differences"]
    if following:
        lines.append(f"{len(following)} steps that read these have other keys for that alone, such as {following[0]}")
    return lines


def _own_differences(was: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    for name in ("kind", "version"):
        if was[name] != now[name]:
            yield f"{name} was {was[name]!r}, is {now[name]!r}"
    for part in ("fields", "inputs"):
        before, after = dict(_flat(was[part])), dict(_flat(now[part]))
        for name in sorted(before.keys() | after.keys()):
            if name not in after:
                yield f"{part}: {name} was {_short(before[name])}, is no longer there"
            elif name not in before:
                yield f"{part}: {name} is new: {_short(after[name])}"
            # 1, 1.0 and true are equal to Python and three things to a key.
            elif json.dumps(before[name]) != json.dumps(after[name]):
                yield f"{part}: {name} was {_short(before[name])}, is {_short(after[name])}"


def _flat(value: object, path: str = "") -> Iterator[tuple[str, object]]:
    """Yield the dotted path of every value within mappings and lists; an empty one is a value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    if not inner:
        yield path, value
    for name, item in inner:
        yield from _flat(item, f"{path}.{name}" if path else str(name))


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 80 else f"{text[:60]}... ({len(text)} characters)"
