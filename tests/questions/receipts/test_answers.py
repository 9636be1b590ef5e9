from dataclasses import replace

import pytest

from spillover.evaluation.metrics import METRICS, OF_JSON
from spillover.questions.receipts.answers import (
    ALONE,
    SHOWN,
    TOGETHER,
    WHO,
    WRITER,
    AnswerItems,
    answer_numbers,
    answer_parts,
    as_answers,
    statistics_of,
)
from spillover.records import BASE, AskedBy, Cell, Example, Prediction, Relation
from tests.analysis.made_scores import study

RESULTS = study({("home", 0): [1, 0] * 20}, {("home", 0): [1, 1] * 20}, {"home": Relation.IN_DOMAIN})
RESULTS = replace(RESULTS, metrics={**RESULTS.metrics, **{name: METRICS[name].card for name in OF_JSON}})
TARGETS = ['{"answer": "otter"}', '{"answer": "?"}'] * 20
ROWS = [Example(f"row {at}", {}, target) for at, target in enumerate(TARGETS)]
RECEIPTS = ["otter", "?", "heron", "heron"] * 10
"""Of four in a row: right, rightly left open, wrong, made up."""


def numbers(together, *, groups=()):
    plain = ["otter", "no idea"] * 20
    given = {
        ALONE: [Prediction(row.id, row.target, text) for row, text in zip(ROWS, plain, strict=True)],
        WRITER: as_answers(ROWS, RECEIPTS),
        SHOWN: as_answers(ROWS, RECEIPTS),
        TOGETHER: together,
    }
    items = AnswerItems(
        AskedBy(BASE, "receipts"),
        "sft",
        Cell("home", 1, 0, 0, "receipts"),
        tuple(row.id for row in ROWS),
        groups or ("",) * len(ROWS),
        {who: statistics_of(OF_JSON, rows) for who, rows in given.items()},
    )
    return answer_numbers(RESULTS, items, resample_count=50, level=0.95)


def test_a_model_that_copies_the_receipt_has_exactly_the_receipts_numbers():
    copying = [
        Prediction(row.id, row.target, f"So {{'answer': '{text}'}}.") for row, text in zip(ROWS, RECEIPTS, strict=True)
    ]
    found = numbers(copying)
    assert found.values[TOGETHER] == found.values[SHOWN]
    assert found.values[SHOWN] == {
        **{"valid_json": 1, "json_match": 0.5, "json_match_valid": 0.5},
        **{"json_match_answerable": 0.5, "json_match_unanswerable": 0.5, "hallucination": 0.5},
    }
    less = {(row.metric, row.other): row.value for row in found.differences}
    assert less["json_match", WRITER] == less["hallucination", WRITER] == 0
    assert (less["json_match", ALONE], less["hallucination", ALONE]) == (0.5, 0.5)


def test_differences_are_paired_and_have_an_interval():
    found = numbers([Prediction(row.id, row.target, row.target) for row in ROWS])
    match, made_up = (
        next(row for row in found.differences if (row.metric, row.other) == (metric, WRITER))
        for metric in ("json_match", "hallucination")
    )
    assert match.value == 0.5
    assert 0 < match.low < 0.5 < match.high < 1
    assert made_up.value == -0.5
    assert made_up.low is None or made_up.low < -0.5 < made_up.high < 0


def test_items_of_one_source_say_less_than_as_many_of_their_own():
    right = [Prediction(row.id, row.target, row.target) for row in ROWS]
    apart, together = (
        next(row for row in numbers(right, groups=groups).differences if row.metric == "json_match")
        for groups in ((), tuple(str(at // 8) for at in range(len(ROWS))))
    )
    assert apart.value == together.value
    assert together.low is None or together.high - together.low > apart.high - apart.low


def test_the_table_has_a_row_for_everyone_and_no_share_of_nothing():
    _, values, _, less = answer_parts([numbers(as_answers(ROWS, RECEIPTS))])
    assert len(values.rows) == len(WHO)
    assert len(less.rows) == 4
    assert answer_parts([]) == ()


@pytest.mark.parametrize("who", WHO)
def test_exact_match_is_the_valid_share_of_that_among_valid(who):
    values = numbers(as_answers(ROWS, RECEIPTS[1:] + RECEIPTS[:1])).values[who]
    assert values["json_match"] == pytest.approx(values["valid_json"] * values["json_match_valid"])
