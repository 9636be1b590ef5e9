"""A section of the report as data: text, tables, charts and details, which every format renders in its own way."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum, auto
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar, cast

from spillover.analysis.analysis import Analysis
from spillover.analysis.verdict import Verdict
from spillover.records import StudyResults

if TYPE_CHECKING:
    from markupsafe import Markup


class Place(IntEnum):
    """Where in the report a section stands; within a place the core comes first, then the registry's order."""

    VERDICT = auto()
    RELATIONS = auto()
    ANSWER = auto()
    """Before the matrix: what somebody decides by."""
    MATRIX = auto()
    CELLS = auto()
    """After the matrix: what stands behind the cells."""
    CAUSES = auto()
    """After that: why they are as they are."""
    EXPLORER = auto()
    """The items."""
    ITEMS = auto()
    """After them."""
    RECORD = auto()
    """How it was done."""
    PROVENANCE = auto()


@dataclass(frozen=True, slots=True)
class Words:
    """A few words that are set apart."""

    text: str
    style: Literal["strong", "em", "code", "name"]
    """``name`` is text from data, whose direction does not reach what stands around it."""


def strong(text: str) -> Words:
    """Set words bold."""
    return Words(text, "strong")


def emphasis(text: str) -> Words:
    """Set words apart."""
    return Words(text, "em")


def code(text: str) -> Words:
    """Set words as they are typed, spaces at their edges and line ends to be seen."""
    return Words(text, "code")


def name(text: str) -> Words:
    """Set a name that comes from data."""
    return Words(text, "name")


@dataclass(frozen=True, slots=True)
class Text:
    """A paragraph, a point of a list, a note, a heading, or what is to be copied as it is."""

    pieces: tuple[str | Words, ...]
    kind: Literal["plain", "note", "point", "heading", "block"] = "plain"


def text(*pieces: str | Words) -> Text:
    """Return a paragraph."""
    return Text(pieces)


def note(*pieces: str | Words) -> Text:
    """Return a note, in smaller print."""
    return Text(pieces, "note")


def point(*pieces: str | Words) -> Text:
    """Return a point of a list; points that follow each other are one list."""
    return Text(pieces, "point")


def heading(*pieces: str | Words) -> Text:
    """Return a heading within the section."""
    return Text(pieces, "heading")


def block(text: str) -> Text:
    """Return text to be copied as it is."""
    return Text((text,), "block")


ColumnKind = Literal["text", "word", "number", "interval", "words", "center"]
"""A ``word`` stays on one line, ``words`` are a sentence."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column's title and what stands in it."""

    title: str
    kind: ColumnKind = "text"
    is_name: bool = False
    """Whether the title is a name that comes from data."""


def number(title: str) -> Column:
    """Return a column of numbers."""
    return Column(title, "number")


def word(title: str) -> Column:
    """Return a column of words that stay on one line."""
    return Column(title, "word")


def words(title: str) -> Column:
    """Return a column of sentences."""
    return Column(title, "words")


def interval(title: str = "interval") -> Column:
    """Return a column of intervals."""
    return Column(title, "interval")


@dataclass(frozen=True, slots=True)
class Entry:
    """What stands in one place of a table; a plain string is one too."""

    text: str
    small: tuple[str, ...] = ()
    """Lines in smaller print below, or beside."""
    is_strong: bool = False
    star: str = ""
    """What a star behind the text means; empty for none."""
    tint: str = ""
    """``flat``, ``up1`` .. ``up4`` (better) or ``down1`` .. ``down4`` (worse); or the word of a change."""
    title: str = ""
    """What hovering says."""
    rows: int = 1
    """How many rows it spans; the rows below hold None in its place."""
    columns: int = 1
    """How many columns it spans."""
    data: Mapping[str, str] = field(default_factory=dict)
    """For the page's script."""
    more: str = ""
    """What is shown when it is opened."""
    more_title: str = ""


Row = Sequence["str | Entry | None"]


@dataclass(frozen=True, slots=True)
class Group:
    """Rows under a heading of their own; without one, rows that belong together."""

    rows: tuple[Row, ...]
    heading: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """A table whose first column names its rows."""

    label: str
    """What it holds, for who cannot see it, and its caption in LaTeX and in the terminal."""
    columns: tuple[Column, ...]
    groups: tuple[Group, ...]
    caption: str = ""
    style: str = ""
    """The page's class for it."""
    fact_count: int = 1
    """Columns that are repeated where a narrow terminal splits the table."""
    is_printed: bool = False
    """Whether it is a table of a paper and of the terminal, too."""

    @property
    def rows(self) -> list[Row]:
        """The rows of all groups."""
        return [row for group in self.groups for row in group.rows]


def table(
    label: str,
    columns: Sequence[Column | str],
    rows: Sequence[Row],
    *,
    caption: str = "",
    style: str = "",
    fact_count: int = 1,
    is_printed: bool = False,
) -> Table:
    """Return a table; a plain string is a column of text. Rows of one first entry stand together."""
    own = tuple(Column(column) if isinstance(column, str) else column for column in columns)
    return Table(label, own, (Group(tuple(rows)),), caption, style, fact_count, is_printed)


@dataclass(frozen=True, slots=True)
class Series:
    """How one model, recipe or arm is drawn in every chart."""

    model: str
    color: str
    dash: tuple[int, int]
    shape: str


@dataclass(frozen=True, slots=True)
class Panel:
    """One small chart and its caption."""

    title: str
    note: str
    svg: Markup


@dataclass(frozen=True, slots=True)
class Chart:
    """One chart or several small ones, drawn where a format shows any; a table beside it holds the numbers."""

    label: str
    """What it shows, for who cannot see it."""
    draw: Callable[[], Sequence[Panel]]
    caption: str = ""
    legend: tuple[Series, ...] = ()
    is_wide: bool = False
    """Whether a panel takes the width of two."""


@dataclass(frozen=True, slots=True)
class Details:
    """Parts that are folded away until they are asked for."""

    summary: str
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Lights:
    """Verdicts, each with its light."""

    verdicts: tuple[Verdict, ...]


@dataclass(frozen=True, slots=True)
class Scale:
    """What the tints of a table mean, where a format shows any."""

    steps: tuple[float, ...]
    """Sizes of a difference from which on a stronger tint is taken."""


Part = Text | Table | Chart | Details | Lights | Scale


@dataclass(frozen=True, slots=True)
class Section:
    """A section of the report."""

    id: str
    """Its anchor."""
    title: str
    parts: tuple[Part, ...]
    """Without any the section does not appear."""
    place: Place = Place.CELLS
    tag: str = ""
    """A word of warning beside the title."""
    short: str = ""
    """Its title in the list of sections, where its anchor does not say it."""
    is_open: bool = False
    """Whether it is read first; the page folds all others under their title and ``summary``."""
    summary: str = ""
    """What a folded section answers, in one line."""


Found = TypeVar("Found", contravariant=True)


class Shows(Protocol[Found]):
    """A question, as far as the report asks it."""

    name: str

    def sections(self, results: StudyResults, analysis: Analysis, finding: Found, /) -> Sequence[Section]:
        """Return what stands in the report."""

    def summary(self, finding: Found | None, /) -> Mapping[str, object]:
        """Return what stands in summary.json."""


def shown(analysis: Analysis) -> Iterator[tuple[Shows[Any], Any]]:
    """Yield every question of a study with what it found, None where it found nothing."""
    for question in analysis.questions:
        yield cast("Shows[Any]", question), analysis.of(question)


def sections_of(results: StudyResults, analysis: Analysis) -> list[Section]:
    """Return the questions' sections, in the registry's order."""
    return [
        section
        for question, finding in shown(analysis)
        if finding is not None
        for section in question.sections(results, analysis, finding)
    ]
