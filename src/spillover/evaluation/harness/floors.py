"""What knowing nothing scores in a task of lm-eval, by lm-eval's own code over answers that nobody gave."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from spillover.errors import SpilloverError
from spillover.evaluation.floors import REFUSED_NATS, choice_floor, frequent_texts
from spillover.evaluation.harness.asked import HarnessCell, Response
from spillover.records import FloatArray, MetricCard


@dataclass(frozen=True, slots=True)
class HarnessFloors:
    """Of the metrics that are better when higher and whose floor is known."""

    floors: Mapping[str, float] = field(default_factory=dict)
    """As `TaskCard.floors`."""
    constant_scores: Mapping[str, float] = field(default_factory=dict)
    """As `TaskCard.constant_scores`."""


def harness_floors(asked: HarnessCell, cards: Mapping[str, MetricCard]) -> HarnessFloors:
    """Return what knowing nothing scores: of choices the better of chance and the best constant place, of text an
    empty answer, of a continuation that is only scored one the model does not expect.

    Args:
        asked: A cell of the task.
        cards: Its metrics. One for which the task's own code fails on such answers has no floor.
    """
    rising = {name: card for name, card in cards.items() if card.higher_is_better}
    if not rising:
        return HarnessFloors()
    try:
        return _of_choices(asked, rising) if asked.chooses else _of_text(asked, rising)
    except SpilloverError:  # a task's code may take any answer for granted; then nobody knows its floor
        return HarnessFloors()


def _of_choices(asked: HarnessCell, cards: Mapping[str, MetricCard]) -> HarnessFloors:
    options = [item.options for item in asked.asked_items()]
    places = range(max(map(len, options)))
    scored = [
        _scores(asked, [_choice(asked, index, len(row), place) for index, row in enumerate(options)])
        for place in places
    ]
    given = np.array([[place < len(row) for row in options] for place in places])
    counts, longest = np.ones(len(options)), max(options, key=len)
    is_answer_set = all(longest[: len(row)] == row for row in options)
    found = {}
    for name in _scored_by_all(cards, scored):
        card, statistics = cards[name], np.stack([scores[name] for scores in scored])
        # A data set that lists the right answer first (or last) in every row does so for nobody to see.
        counted = [is_answer_set or not (card.combine(constant) >= 1).all() for constant in statistics]
        found[name] = choice_floor(card, statistics, given, counts, counted)
    return HarnessFloors(found)


def _of_text(asked: HarnessCell, cards: Mapping[str, MetricCard]) -> HarnessFloors:
    silent = _scores(asked, _saying(asked, ""))
    found = {name: _value(cards[name], silent[name]) for name in _scored_by_all(cards, [silent])}
    if not asked.is_answered:
        return HarnessFloors(found)
    texts = frequent_texts([item.target for item in asked.asked_items()])
    constant = [_scores(asked, _saying(asked, text)) for text in texts]
    best = {
        name: max(_value(cards[name], scores[name]) for scores in constant) for name in _scored_by_all(cards, constant)
    }
    return HarnessFloors(found, best)


def _choice(asked: HarnessCell, index: int, count: int, place: int) -> list[Response]:
    """Choose the option at a place, the last one of an item that has fewer; without the context all are alike."""
    kept = min(place, count - 1)
    extra = len(asked.items[index].requests) - count
    options = [(0.0 if option == kept else REFUSED_NATS, option == kept) for option in range(count)]
    return [*options, *[(0.0, False)] * extra]


def _saying(asked: HarnessCell, text: str) -> list[list[Response]]:
    """Write the same text everywhere; of scored texts each is as unexpected as the next."""

    def response(kind: str) -> Response:
        scored: Response = (REFUSED_NATS, False) if kind == "loglikelihood" else REFUSED_NATS
        return text if kind == "generate_until" else scored

    return [[response(request.request_type) for request in item.requests] for item in asked.items]


def _scores(asked: HarnessCell, responses: Sequence[Sequence[Response]]) -> Mapping[str, FloatArray]:
    return asked.scores(responses).statistics


def _scored_by_all(cards: Mapping[str, MetricCard], scored: Sequence[Mapping[str, FloatArray]]) -> list[str]:
    return [name for name in cards if all(name in scores for scores in scored)]


def _value(card: MetricCard, statistics: FloatArray) -> float:
    return float(card.combine(statistics.sum(axis=0)))
