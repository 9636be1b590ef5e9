"""The rows that cross rooms: examples, predictions, scores, measurements and the facts a report shows."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

BASE = "base"
"""The variant id of the untouched model."""

PLAIN = "plain"
"""The ask that changes nothing: demonstrations with their own labels, then the question."""

FloatArray = NDArray[np.float64]

CALIBRATION_ERROR = "ece"
"""The metric that says how far a model's certainty is from how often it is right."""

RIGHT_ANSWERS = "right answers"
"""The kind of every metric that is a share of answers which are right."""


class Relation(StrEnum):
    """How a tested task relates to the task a variant was trained on."""

    IN_DOMAIN = "in-domain"
    OUT_OF_DOMAIN = "out-of-domain"
    CROSS_TASK = "cross-task"
    UNSTATED = "unstated"
    """Nothing is known of what the variant was trained on, so that each tested task may be its own."""


@dataclass(frozen=True, slots=True)
class Example:
    """One row: named input fields and a target."""

    id: str
    fields: Mapping[str, str]
    target: str
    group: str = ""
    """Rows of one group (one passage, one document) never fall into different splits; empty means its own group."""
    options: tuple[str, ...] = ()
    """The row's own answers, one of them the target; empty where one answer set holds for all rows, or none does."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a model answered to one example."""

    example_id: str
    target: str
    raw_answer: str
    """The label of the highest raw log-likelihood, or the generated text cut at its stop string. What the model chose
    under the study's scoring, which metrics and pages show, is `evaluation.choice.chosen_answer`."""
    log_likelihoods: tuple[float, ...] = ()
    """Nats of each answer's full token sequence, in the order of the task's answer set; empty for generation."""
    token_ids: tuple[int, ...] = ()
    """The generated token ids before the cut; empty for classification."""
    options: tuple[str, ...] = ()
    """The row's own answers, in the order of ``log_likelihoods``; empty where the task's answer set holds."""
    content_free: tuple[float, ...] = ()
    """Log of each answer's mean share of the answer set after content-free inputs; empty if not asked."""
    premise: tuple[float, ...] = ()
    """Nats of each answer after the end of the prompt alone; empty if not asked."""


@dataclass(frozen=True, slots=True, order=True)
class Cell:
    """Where a model is tested: a task, asked in one form, after a number of demonstrations drawn by a seed."""

    tested_on: str
    prompt_form: int
    shots: int
    demonstration_seed: int
    ask: str = PLAIN
    """How it is asked, by the name the study gives it."""


@dataclass(frozen=True, slots=True, order=True)
class AskedBy:
    """A model, asked in one way."""

    variant: str
    ask: str


@dataclass(frozen=True, slots=True)
class MetricCard:
    """What a metric is called and how its per-example statistics become a value."""

    name: str
    combine: Callable[[FloatArray], FloatArray]
    """Totals over examples ``(..., k)`` to values ``(...)``; every metric is a function of summed statistics."""
    unit: str
    """``share`` for 0..1, ``points`` for 0..100, ``correlation`` for -1..1, ``squared distance`` for 0..2, ``nats``,
    ``bits``, ``perplexity``; ``grade`` for numbers on a scale that only its makers know, such as 1..10."""
    higher_is_better: bool = True
    own_kind: str = ""
    """What it measures where other metrics measure the same, such as `RIGHT_ANSWERS`; empty for none but itself."""

    @property
    def kind(self) -> str:
        """What it measures; only scores of one kind have a mean."""
        return self.own_kind or self.name


@dataclass(frozen=True, slots=True)
class CellScores:
    """The per-example statistics of one metric in one cell."""

    variant: str
    cell: Cell
    metric: str
    example_ids: tuple[str, ...]
    statistics: FloatArray
    """``(n, k)``, rows in the order of ``example_ids``; the metric is ``combine(statistics.sum(0))``."""
    groups: tuple[str, ...] = ()
    """The source each example shares with others, in the order of ``example_ids``; ``""`` is an example of its own.
    Empty where no example shares its source."""


@dataclass(frozen=True, slots=True)
class FlipFloor:
    """How far a cell's predictions are from those of exact float32 arithmetic, on a sample of its items."""

    item_count: int
    """Items that were computed both ways."""
    flipped_count: int
    """Items whose most likely answer, or first generated token, differs."""
    largest_difference: float
    """Nats, over all answers of the sample; for text, what the first generated token lacks to the most likely one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantCard:
    """What the report says of one variant."""

    id: str
    name: str
    trained_on: str
    size: int
    seed: int
    recipe: Mapping[str, Any]
    """The resolved recipe as plain data."""
    training: Mapping[str, Any] = field(default_factory=dict)
    """Of its training log: ``rows``, ``dropped`` (reason to count), ``step_count``, ``losses`` (one per optimizer
    step, nats per target token), ``duration_seconds``; where it was watched ``forgetting`` (``step``,
    ``general_loss`` and ``kl_to_base``, from before the first step on); ``reads_general_text``, whether the recipe
    itself reads the text that is watched."""
    facts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Question to what it knows of the variant, as plain data."""
    mixture: Mapping[str, Any] = field(default_factory=dict)
    """What was mixed, of one pass over the rows: ``budget`` and ``order`` of `tasks.mixture.Mixture`; source to
    ``rows``, ``repeated_rows``, ``target_tokens``, ``row_shares``, ``token_shares`` and ``dropped`` (reason to count);
    ``stages`` (sources of each), ``stage_steps`` and ``coverage``, a number. Empty where nothing was."""
    is_classification: bool | None = None
    """Whether what it was trained on asks for one of several answers; None where nobody knows."""
    is_control: bool = False
    """Whether a design has it to be compared with alone, so that it is no recipe of its own."""
    is_classifier: bool = False
    """Whether it stands beside the base and gives labels alone: it reads no prompt, and so no demonstrations."""


@dataclass(frozen=True, slots=True)
class TaskCard:
    """What the report says of one tested task."""

    name: str
    family: str
    domain: str
    answers: tuple[str, ...]
    """The answer set; empty for free text."""
    primary_metric: str
    item_count: int
    majority_accuracy: float | None
    """Accuracy of always answering the most frequent target; None for free text."""
    dropped: Mapping[str, int]
    """Rows of the task that were left out, reason to count."""
    licence: str = ""
    chance_accuracy: float | None = None
    """Mean of 1 / number of answers; None for free text."""
    is_closed_book: bool = False
    """Whether it asks for facts that are not in the prompt."""
    floors: Mapping[str, float] = field(default_factory=dict)
    """Metric to what knowing nothing scores on these items: of choices the better of chance and the best constant
    answer, of text an empty answer. A metric whose floor nobody knows is absent."""
    constant_scores: Mapping[str, float] = field(default_factory=dict)
    """Metric to what the best constant text scores on these items; empty for choices."""


@dataclass(frozen=True, slots=True)
class PromptCard:
    """One rendered prompt of a cell, as every model of the study saw it."""

    cell: Cell
    example_id: str
    text: str
    token_ids: tuple[int, ...]
    shared_prefix_token_count: int
    target: str
    answer_token_ids: Mapping[str, tuple[int, ...]]
    """Token ids of each answer of the set; empty for free text."""


@dataclass(frozen=True, slots=True)
class CommonAnswer:
    """What a model answers most often in a cell."""

    text: str
    share: float
    """Of the items."""


@dataclass(frozen=True, slots=True)
class AskedItem:
    """One item of a cell, as every model of the study was asked it."""

    example_id: str
    prompt: str
    target: str
    options: tuple[str, ...] = ()
    """The answers to choose from; empty for free text."""
    token_ids: tuple[int, ...] | None = None
    """Of the prompt; None where they were not kept."""


@dataclass(frozen=True, slots=True)
class ItemAnswer:
    """What one model answered to an item, and what the item scored by itself."""

    text: str
    score: float
    shares: tuple[float, ...] = ()
    """Each option's share of one, in the order of the item's options; empty for free text."""
    fault: str = ""
    """What else than the model may be at fault for the score: a text that was cut off, or holds nothing to score."""


@dataclass(frozen=True, slots=True)
class ItemChange:
    """An item that a variant and the base score differently."""

    item: AskedItem
    base: ItemAnswer
    variant: ItemAnswer


@dataclass(frozen=True, slots=True)
class CellChanges:
    """What changed in a cell, item by item: some of the items, the largest changes first, and how many there are."""

    variant: str
    cell: Cell
    metric: str
    """What items are compared by: accuracy where it was measured, otherwise the task's primary metric."""
    regressions: tuple[ItemChange, ...]
    gains: tuple[ItemChange, ...]
    regression_count: int
    gain_count: int


@dataclass(frozen=True, slots=True)
class StudyResults:
    """Everything a finished study hands to analysis and report."""

    name: str
    base: Mapping[str, Any]
    """``name``, ``fingerprint``, ``parameter_count``, ``kind`` (instruct or base), ``licence``."""
    variants: tuple[VariantCard, ...]
    tasks: tuple[TaskCard, ...]
    relations: Mapping[tuple[str, str], Relation]
    """(variant id, tested task) to relation; the base has none."""
    metrics: Mapping[str, MetricCard]
    scores: tuple[CellScores, ...]
    """Of the base (variant ``BASE``) and of every variant."""
    prompts: tuple[PromptCard, ...]
    skipped: tuple[str, ...]
    """Cells not run and why, one sentence each."""
    provenance: Mapping[str, Any]
    """Versions, machine, precision, seeds, digests, times, the command that reproduces the study."""
    flip_floors: Mapping[tuple[str, Cell], FlipFloor] = field(default_factory=dict)
    """(variant id, cell) to its flip floor, where one was measured."""
    changes: tuple[CellChanges, ...] = ()
    """Of every variant and cell whose items are at hand."""
    common_answers: Mapping[tuple[str, Cell], CommonAnswer] = field(default_factory=dict)
    """(variant id, cell) to the most frequent answer, of the base too, where the answers are at hand."""
    item_seconds: Mapping[str, float] = field(default_factory=dict)
    """Tested task to processor seconds that one item took in all its cells, of the base and one variant together."""
    questions: tuple[str, ...] | None = None
    """Names of what is asked beyond the matrix; None asks everything."""
    margin: float = 0.02
    """Losses up to it count as nothing lost; a share: 0.02 is two answers in a hundred, or 2 points of 100."""
    ask: str = PLAIN
    """How the cells of ``scores`` are asked: the primary ask, which alone feeds matrix, verdicts and questions."""
    asked_otherwise: tuple[CellScores, ...] = ()
    """Of models that were asked in other ways too, in the same tasks; plain among them where it is not primary."""
    asks: Mapping[str, str] = field(default_factory=dict)
    """Every way of asking but the plain one, by its name, in words."""
    compare: tuple[tuple[AskedBy, AskedBy], ...] = ()
    """What a study compares by name: the first less the second."""
    unchanged: frozenset[Cell] = frozenset()
    """Cells of other asks that ask what the plain cell asks, and so are it."""
    collected: Mapping[str, Any] = field(default_factory=dict)
    """Question to what it read of the finished study, beyond its scores."""
    origin: tuple[str, ...] = ()
    """What tells the study from others of its name: whole paths of its file or folders, or words; in no report."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """A metric over a cell of one model; one row of measurements.csv."""

    variant: str
    trained_on: str
    tested_on: str
    family: str
    relation: str
    prompt_form: int
    shots: int
    demonstration_seed: int
    metric: str
    value: float
    base_value: float
    difference: float
    low: float | None
    """Lower end of the interval of ``difference``; equal to it for the base itself, None where no interval would be
    honest (see ``note``)."""
    high: float | None
    item_count: int
    majority_accuracy: float | None = None
    value_low: float | None = None
    """Lower end of the Wilson interval of ``value``, where it is a share of independent items that are right or not."""
    value_high: float | None = None
    p_value: float | None = None
    """Of no difference to the base, two-sided; of right and wrong answers McNemar's exact test."""
    holm_p_value: float | None = None
    """``p_value`` adjusted after Holm over the study's matrix, see analysis.multiplicity."""
    bh_p_value: float | None = None
    """``p_value`` adjusted after Benjamini and Hochberg over the same matrix."""
    is_equivalent: bool | None = None
    """Whether two one-sided tests show the difference to be smaller than the margin; None where they cannot say."""
    note: str = ""
    """Why there is no interval, or on what else than the items as they are it rests; mostly empty."""
    is_primary: bool = True
    """Whether it is in the task's primary metric."""
    ask: str = PLAIN
    """How its cell is asked."""

    @property
    def is_clear(self) -> bool:
        """Whether the difference to the base is significant at 5 % after Holm's adjustment."""
        return self.holm_p_value is not None and self.holm_p_value < 0.05
