"""What logged answers tell of a task: its options, what knowing nothing scores, and what a model answers most often."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from spillover.records import RIGHT_ANSWERS, CommonAnswer, MetricCard, TaskCard


@dataclass(frozen=True, slots=True)
class Sample:
    """One item of one run."""

    target: str
    prompt: str
    """Everything the model was given, in whatever form the log has it."""
    values: Mapping[str, tuple[float, ...]]
    """Metric to its statistics of this item."""
    options: tuple[str, ...] | None = None
    """The answers to choose from; empty where there are none, None where the log does not say."""
    right: int | None = None
    """Which option is the target; None where there are none or the log does not say."""
    answer: str | None = None
    """What the model chose or wrote; None where it was scored on a given text, or the log does not say."""
    settings: Mapping[str, object] = field(default_factory=dict)
    """How its text was to be decoded, as far as the log says."""


def task_card(
    task: str,
    family: str,
    samples: Sequence[Sample],
    cards: Mapping[str, MetricCard],
    *,
    primary: str,
    dropped: Mapping[str, int],
) -> TaskCard:
    """Return what the report says of a task.

    Args:
        task: Its name.
        family: Of whichever program ran it.
        samples: The base's, of the items that all runs have.
        cards: The task's metrics.
        primary: The one that stands for it.
        dropped: Items that were left out, reason to count.
    """
    rising = {name: card for name, card in cards.items() if card.higher_is_better}
    options = [sample.options for sample in samples if sample.options]
    if len(options) < len(samples):
        is_free = all(sample.options == () for sample in samples)
        floors = {name: 0.0 for name, card in rising.items() if is_free and card.unit == "share"}
        constants = _constant_texts(samples, rising) if is_free else {}
        return TaskCard(
            task, family, task, (), primary, len(samples), None, dropped, floors=floors, constant_scores=constants
        )
    longest = max(options, key=len)
    is_answer_set = all(longest[: len(row)] == row for row in options)
    chance = sum(1 / len(row) for row in options) / len(options)
    constant = _best_place(samples)
    # A data set that lists the right answer first (or last) in every row does so for nobody to see.
    guessed = chance if constant is None or (constant == 1 and not is_answer_set) else max(chance, constant)
    return TaskCard(
        task,
        family,
        task,
        longest if is_answer_set else (),
        primary,
        len(samples),
        constant if is_answer_set else None,
        dropped,
        chance_accuracy=chance,
        floors={name: guessed for name, card in rising.items() if card.kind == RIGHT_ANSWERS},
    )


def common_answer(samples: Sequence[Sample]) -> CommonAnswer | None:
    """Return the most frequent answer, the first of equally frequent ones; None where the log lacks any."""
    answers = [sample.answer for sample in samples if sample.answer is not None]
    if not answers or len(answers) < len(samples):
        return None
    ((text, count),) = Counter(answers).most_common(1)
    return CommonAnswer(text, count / len(samples))


def _best_place(samples: Sequence[Sample]) -> float | None:
    """Return the share of items whose target is the option that is most often the target; None where one is unknown."""
    places = [sample.right for sample in samples]
    return None if None in places else max(Counter(places).values()) / len(places)


def _constant_texts(samples: Sequence[Sample], rising: Mapping[str, MetricCard]) -> dict[str, float]:
    """Return what always writing the most frequent target scores where its answers are right or wrong."""
    if any(sample.answer is None for sample in samples):
        return {}
    most = max(Counter(sample.target for sample in samples).values())
    return {name: most / len(samples) for name, card in rising.items() if card.kind == RIGHT_ANSWERS}
