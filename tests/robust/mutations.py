"""Ways to spoil a study, a suite or a table: other values, keys, types and bytes."""

import copy
from typing import Any

import yaml
from hypothesis import strategies as st

WORDS = ["", "all", "default", "none", "pocket", "first", "mood", "base", "../..", "a\x00b", "/", "x" * 5000, "\ud800"]
WORDS += ["{text}", "{", "{0}", "{a.b}", "é😀\u202e", "1e999", "lm-eval", "[", "(a+)+$", "*.csv", "./model", "é" * 300]

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([10**400, -(10**20), 2**63]),
    st.floats(),
    st.sampled_from(WORDS),
    st.text(max_size=20),
)
keys = st.one_of(st.sampled_from(WORDS), st.text(max_size=8), st.integers(), st.none(), st.booleans())
values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(keys, inner, max_size=3)),
    max_leaves=6,
)


def _places(tree: object) -> list[tuple[Any, Any]]:
    """Return every container and key or index in it, of every depth."""
    pairs = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    return [place for key, inner in pairs for place in [(tree, key), *_places(inner)]]


@st.composite
def spoiled(draw: st.DrawFn, trees: list[object]) -> object:
    """Draw one of the trees with a few places deleted, replaced, renamed, or swapped with one another."""
    tree = copy.deepcopy(draw(st.sampled_from(trees)))
    for _ in range(draw(st.integers(1, 3))):
        places = _places(tree)
        if not places:
            break
        holder, key = draw(st.sampled_from(places))
        change = draw(st.sampled_from(["delete", "replace", "replace", "rename", "swap", "nest", "add"]))
        if change == "delete":
            del holder[key]
        elif change == "replace":
            holder[key] = draw(values)
        elif change == "rename" and isinstance(holder, dict):
            holder[draw(keys)] = holder.pop(key)
        elif change == "swap":
            other, at = draw(st.sampled_from(places))
            holder[key] = copy.deepcopy(other[at])
        elif change == "nest":
            holder[key] = [holder[key]] if draw(st.booleans()) else {draw(keys): holder[key]}
        elif change == "add" and isinstance(holder, dict):
            holder[draw(keys)] = draw(values)
    return tree


def as_yaml(tree: object) -> bytes:
    """Write a tree, characters that no file holds as escapes."""
    return yaml.safe_dump(tree, sort_keys=False, width=10**6).encode("utf-8", "backslashreplace")


@st.composite
def torn(draw: st.DrawFn, contents: list[bytes]) -> bytes:
    """Draw one of the files with a few stretches cut, repeated or replaced by bytes that mean something somewhere."""
    content = draw(st.sampled_from(contents))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(content)))
        end = min(len(content), start + draw(st.integers(0, 12)))
        piece = draw(
            st.one_of(
                st.binary(max_size=6),
                st.sampled_from(PIECES),
                st.just(content[start:end] * 3),
                st.just(b""),
            )
        )
        content = content[:start] + piece + content[end:]
    return content


PIECES = [
    b"\x00",
    b"\xef\xbb\xbf",
    b"\xff\xfe",
    b'"',
    b"'",
    b"\r",
    b"\n",
    b",",
    b"\t",
    b"{",
    b"}",
    b"[",
    b"]",
    b"&a ",
    b"*a",
]
PIECES += [b"<<: *a", b"!!python/object:os.system x", b"!!int x", b"!!float", b"!!timestamp 1", b"!!binary x", b"? "]
PIECES += [b"!!set", b"--- ", b"...", b"%YAML 9", b"|", b">", b"NaN", b"Infinity", b"1e999", b"\\ud800", b"\\u0000"]
PIECES += [
    b"9" * 5000,
    b"[" * 3000,
    b'{"a":' * 3000,
    b"- " * 2000,
    b"x" * 200_000,
    "\u2028é😀".encode(),
    b"null",
    b"true",
]
