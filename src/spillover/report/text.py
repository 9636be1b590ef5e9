"""Text of the report: what the terminal prints last, and how text from data is made safe and visible."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from markupsafe import Markup
    from rich.text import Text

    from spillover.analysis.analysis import Analysis
    from spillover.analysis.verdict import Light
    from spillover.records import StudyResults

LIGHT_SYMBOLS: Mapping[Light, str] = {"loses": "✗", "mixed": "◑", "unclear": "○", "untested": "–", "keeps": "✓"}
"""A symbol beside each light's word, so that no meaning rests on colour; those first that ask for a decision."""

LIGHT_STYLES: Mapping[Light, str] = {
    "keeps": "green",
    "unclear": "dim",
    "mixed": "yellow",
    "loses": "red",
    "untested": "magenta",
}
"""Of the terminal."""

LIGHT_WIDTH = len("  ✓ untested ")
"""Of what stands before a verdict's sentence."""

LONGEST_TEXT = 500
"""Characters of one name shown; prompts have their own limit."""

LONGEST_SENTENCE = 3000
"""Characters of one verdict shown, which names a dozen tasks."""

_INVISIBLE = re.compile(
    r"\n|\t|^ +| +$|  +|[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]", re.M
)
_SEAMS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
_MARKDOWN = re.compile(r"([\\`*_<>|~&]|\](?=[(\[:]))")


def text_summary(results: StudyResults, analysis: Analysis) -> Text:
    """Return the verdict of every variant, for the end of a terminal run."""
    from rich.text import Text

    summary = Text()
    summary.append(printable(results.name), style="bold")
    summary.append(f": differences to the base, {analysis.level:.0%} intervals\n")
    for verdict in analysis.verdicts:
        style = f"bold {LIGHT_STYLES[verdict.light]}"
        summary.append(f"  {LIGHT_SYMBOLS[verdict.light]} {verdict.light:<8} ", style=style)
        summary.append(f"{printable(verdict.sentence, LONGEST_SENTENCE)}\n")
        for line in verdict.evidence:
            summary.append(f"             {printable(line, LONGEST_SENTENCE)}\n")
    summary.rstrip()
    return summary


def printable(text: str, limit: int = LONGEST_TEXT) -> str:
    """Return text without line breaks, control characters or direction overrides, cut at ``limit`` characters."""
    shown = _SEAMS.sub(lambda match: " " if match[0] in "\n\t\r" else _code_point(match[0]), text)
    if len(shown) > limit:
        return f"{shown[:limit]} … ({len(shown) - limit:,} more characters)"
    return shown


def printable_lines(text: str) -> str:
    """Return a whole text with its line breaks and tabs, other control characters and direction overrides by name."""
    return _SEAMS.sub(lambda match: match[0] if match[0] in "\n\t" else _code_point(match[0]), text)


def markdown(text: str, limit: int = LONGEST_TEXT) -> str:
    """Return text that Markdown shows literally, in a table cell as well, cut at ``limit`` characters."""
    return _MARKDOWN.sub(r"\\\1", printable(text, limit))


def visible(text: str, limit: int) -> Markup:
    """Return escaped HTML in which line ends, tabs, edge spaces and invisible characters can be seen.

    Args:
        text: Any text from data.
        limit: The most characters shown; of a longer text the middle is left out and counted.
    """
    from markupsafe import Markup, escape

    if len(text) > limit:
        half = limit // 2
        gap = Markup("<i>… {} characters not shown …</i>").format(f"{len(text) - 2 * half:,}")
        return visible(text[:half], limit) + gap + visible(text[-half:], limit)
    pieces: list[str] = []
    end = 0
    for match in _INVISIBLE.finditer(text):
        pieces += [escape(text[end : match.start()]), _marked(match[0])]
        end = match.end()
    pieces.append(escape(text[end:]))
    return Markup("".join(pieces).encode("utf-8", "replace").decode())


def _marked(found: str) -> str:
    if found == "\n":
        return "<i>⏎</i>\n"
    shown = "⇥" if found == "\t" else "·" * len(found) if found.isspace() and " " in found else _code_point(found)
    return f"<i>{shown}</i>"


def _code_point(character: str) -> str:
    return f"‹U+{ord(character):04X} {unicodedata.name(character, 'control').lower()}›"
