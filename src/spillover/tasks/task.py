"""What a task is: its data, prompts, answer set and metrics, as frozen settings."""

import re
from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from spillover.prompts.template import Template
from spillover.settings import ONE_OR_MORE, Settings
from spillover.tasks.source import Sha256, Sources

Texts = Annotated[
    tuple[str, ...],
    ONE_OR_MORE,
]
Count = Annotated[int, Field(ge=0)]


class Column(Settings):
    """Which column a field is read from and how its text is cleaned."""

    shorthand: ClassVar[str] = "column"
    column: str
    first: bool = False
    """The column holds a list; take its first entry."""
    replace: tuple[tuple[str, str], ...] = ()
    """Regular expressions and what takes their place, applied in order."""
    strip: bool = True
    """Whether whitespace at the ends is removed."""
    lines: bool = False
    """The column holds a mapping or a mapping of mappings; each entry becomes a line ``key: name = value; ...``."""
    followed_by: dict[str, str] = Field(default_factory=dict)
    """Columns whose text follows, where there is any, to what stands before it."""
    added_later: ClassVar[frozenset[str]] = frozenset({"lines", "followed_by"})

    @field_validator("replace")
    @classmethod
    def _compiles(cls, pairs: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
        for pattern, _ in pairs:
            _check_pattern(pattern)
        return pairs


class Target(Column):
    """How the target is read: as it stands, through a map, or by a threshold."""

    map: dict[str, str] = Field(default_factory=dict)
    """Value in the column to target; a value that is not listed is an error."""
    above: float | None = None
    """A number above it gives ``then``, any other ``otherwise``."""
    below: float | None = None
    """A number below it gives ``then_below``."""
    then_below: str = ""
    then: str = ""
    otherwise: str = ""
    drop_between: tuple[float, float] | None = None
    """Rows whose number lies here, ends included, are dropped and counted."""
    added_later: ClassVar[frozenset[str]] = Column.added_later | {"below", "then_below"}

    @model_validator(mode="after")
    def _one_rule(self) -> "Target":
        threshold = [self.above is not None, bool(self.then), bool(self.otherwise)]
        if any(threshold) != all(threshold) or (self.drop_between is not None and self.above is None):
            raise ValueError("a threshold needs all of `above`, `then` and `otherwise`")
        if (self.below is None) == bool(self.then_below) or (self.below is not None and self.above is None):
            raise ValueError("`below` needs `then_below`, and `above` with its answers")
        if self.map and self.above is not None:
            raise ValueError("`map` and `above` contradict each other; keep one")
        return self


class Options(Column):
    """Each row's own answers, one of which is the target; the column holds a list, or a text that ``split`` divides."""

    split: str = r"(?:^|\n)\s*[A-Z]\.(?=\s|$)"
    """Regular expression of what stands before each option in a text."""
    asked: Literal["text", "letters"] = "text"
    """``text`` scores the options themselves, ``letters`` the task's ``answers``, so many as a row has options."""
    count: int | None = Field(default=None, gt=1)
    """Rows with another number of options are dropped and counted."""

    @field_validator("split")
    @classmethod
    def _split_compiles(cls, pattern: str) -> str:
        return _check_pattern(pattern)


class Unpivot(Settings):
    """One row becomes several: each named column's value lands in ``value``, and its label in ``name``."""

    columns: dict[str, str]
    """Column to label."""
    value: str
    name: str


class Turns(Settings):
    """One row with a conversation becomes one a turn, with what was said before."""

    columns: dict[str, Column] = Field(min_length=1)
    """New column to the one that holds its list, one entry a turn."""
    previous: str
    """New column for the earlier turns."""
    form: str
    """How an earlier turn is written: ``{name}`` stands for a new column."""

    @model_validator(mode="after")
    def _form_names_columns(self) -> "Turns":
        if unknown := sorted(set(Template(self.form).fields) - set(self.columns)):
            raise ValueError(f"form asks for {unknown[0]!r}, which is not among columns: {', '.join(self.columns)}")
        return self


class GroupKey(Settings):
    """A column whose equal values keep rows in one part of a split."""

    shorthand: ClassVar[str] = "column"
    column: str
    pattern: str | None = None
    """Only this regular expression's first match counts; the whole value where there is none."""

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, pattern: str | None) -> str | None:
        return _check_pattern(pattern) if pattern is not None else None


class FieldLimit(Settings):
    """How long a field may be."""

    shorthand: ClassVar[str] = "words"
    words: int | None = Field(default=None, gt=0)
    """Words at the most."""
    longer: Literal["shorten", "drop"] = "shorten"
    least: Count = 0
    """Words at the least; rows with fewer are dropped."""


class Prompt(Settings):
    """A prompt's text, or where a release holds it."""

    shorthand: ClassVar[str] = "text"
    text: str = ""
    folder: str = ""
    """A JSON file of the suite's release."""
    sha256: Sha256 | None = None
    at: tuple[int | str, ...] = ()
    """Keys and positions that lead to the text within the file."""

    @model_validator(mode="after")
    def _text_or_file(self) -> "Prompt":
        if bool(self.text) == bool(self.folder) or bool(self.folder) != (self.sha256 is not None):
            raise ValueError("a prompt is either a text or a `folder` file with its `sha256` and `at`")
        return self


class Generation(Settings):
    """How free text is decoded."""

    max_new_tokens: int = Field(default=60, gt=0)
    stop: str = Field(default="\n\n", min_length=1)
    """The text is cut here."""


class Split(Settings):
    """How the pool is divided."""

    seed: int = 0
    demonstrations: Count = 16
    """Rows."""
    test: Count = 250
    """Rows."""
    train: Count | None = None
    """At most so many rows; all that are left when absent."""


class Task(Settings):
    """Pure data: everything about a task but its rows."""

    name: str
    family: str
    domain: str
    sources: Sources
    columns: dict[str, Column] = Field(min_length=1)
    """Field of an example to where it is read from."""
    target: Target
    id: str | None = None
    """Column of a unique id; rows are numbered when absent."""
    where: dict[str, Texts] = Field(default_factory=dict)
    """Only rows whose column has one of the values."""
    unpivot: Unpivot | None = None
    turns: Turns | None = None
    group: Annotated[
        tuple[GroupKey, ...],
        ONE_OR_MORE,
    ] = ()
    """Rows that share a value in any of these columns, directly or through others, stay together."""
    field_limits: dict[str, FieldLimit] = Field(default_factory=dict)
    must_contain: dict[str, str] = Field(default_factory=dict)
    """Field to the field whose text must still occur in it after shortening; other rows are dropped and counted."""
    answers: tuple[str, ...] = ()
    """The answer set; empty for free text, and where each row has options of its own."""
    options: Options | None = None
    """Where each row's own answers are read from."""
    length_normalised: bool = True
    """Whether options asked as text are compared by nats per character, so that long ones stand a chance."""
    drop_targets: tuple[str, ...] = ()
    """Targets that mean the row has no answer."""
    prompts: dict[int, Prompt] = Field(min_length=1)
    metrics: tuple[str, ...] = ()
    primary_metric: str = ""
    shots: tuple[Count, ...] = (0, 2)
    fticl_shots: tuple[Count, ...] = (2,)
    """Demonstration counts to train with."""
    generation: Generation = Generation()
    split: Split = Split()
    digest: Sha256 | None = None
    """What `prepared_digest` gave when the suite was written."""
    licence: str = ""
    """Of the data."""
    kind: str | None = None
    """Field that says what kind of task a row is, for the coverage number; without it all rows are of one kind."""
    closed_book: bool = False
    """Whether it asks for facts that are not in the prompt, so that wrong facts in added data can harm it."""
    added_later: ClassVar[frozenset[str]] = frozenset({"turns", "kind"})

    @property
    def is_classification(self) -> bool:
        """Whether the answer is one of a set, not free text."""
        return bool(self.answers) or self.options is not None

    @property
    def has_own_options(self) -> bool:
        """Whether the answers that are scored differ from row to row."""
        return self.options is not None and not self.answers

    @property
    def label_set(self) -> tuple[str, ...]:
        """The answers that mean the same in every row; empty for free text, and for letters of a row's own options."""
        return () if self.options is not None else self.answers

    @property
    def false_share(self) -> float | None:
        """Share of wrong facts among the rows to train on; None where these are not facts that a program wrote."""
        return self.sources.false_share

    @model_validator(mode="before")
    @classmethod
    def _fill_metrics(cls, data: object) -> object:
        if not isinstance(data, dict):
            return data
        labels = ["accuracy", "macro_f1", "mcc", "ece", "brier"] if data.get("answers") else ["accuracy"]
        default = labels if data.get("answers") or data.get("options") else ["rouge_l", "bleu", "label_share"]
        metrics = data.get("metrics") or default
        first = metrics[0] if isinstance(metrics, list | tuple) else ""
        return {**data, "metrics": metrics, "primary_metric": data.get("primary_metric") or first}

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> "Task":
        if len(self.answers) == 1 or len(set(self.answers)) < len(self.answers) or "" in self.answers:
            raise ValueError(f"answers must be at least two different words, or left out: {list(self.answers)}")
        if self.options is not None and bool(self.answers) != (self.options.asked == "letters"):
            raise ValueError("options asked as letters need `answers` (the letters), options asked as text none")
        if self.primary_metric not in self.metrics:
            raise ValueError(f"primary_metric {self.primary_metric!r} is not among metrics {list(self.metrics)}")
        named = {
            *self.field_limits,
            *self.must_contain,
            *self.must_contain.values(),
            *([self.kind] if self.kind else []),
        }
        for form, prompt in self.prompts.items():
            named.update(Template(prompt.text).fields)
            if prompt.text and not Template(prompt.text).fields:
                raise ValueError(f"prompts.{form} shows no field; write one as {{{next(iter(self.columns))}}}")
        if unknown := sorted(named - set(self.columns)):
            raise ValueError(f"field {unknown[0]!r} is not among columns: {', '.join(self.columns)}")
        return self


def _check_pattern(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"{pattern!r} is not a regular expression ({error})") from None
    return pattern
