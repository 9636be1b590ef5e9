import json
import random

import pytest

from spillover.errors import UserError
from spillover.evaluation.choice import Scoring
from spillover.evaluation.metrics import METRICS, OF_JSON, statistics
from spillover.records import Prediction

UNREADABLE, OPEN, OTTER, HERON = "otter, I think", '{"answer": "?"}', '{"answer": "otter"}', "{answer: heron}"


def values(pairs):
    """Answer and target of every item to the value of every metric."""
    rows = [Prediction(str(index), target, answer) for index, (answer, target) in enumerate(pairs)]
    return {name: float(METRICS[name].card.combine(statistics(name, rows, Scoring()).sum(axis=0))) for name in OF_JSON}


def test_every_metric_of_answers_written_by_hand():
    has, has_none = '{"answer": "otter"}', '{"answer": "?"}'
    found = values(
        [
            *((OTTER, has), (HERON, has), (OPEN, has), (UNREADABLE, has), (OTTER, has)),
            *((OPEN, has_none), (HERON, has_none), (UNREADABLE, has_none), ("{}", has_none)),
        ]
    )
    assert found == pytest.approx(
        {
            "valid_json": 6 / 9,
            "json_match": 3 / 9,
            "json_match_valid": 3 / 6,
            "json_match_answerable": 2 / 5,
            "json_match_unanswerable": 1 / 4,
            "hallucination": 1 / 4,
        }
    )


@pytest.mark.parametrize("seed", range(20))
def test_shares_add_up_whatever_is_answered(seed):
    draw = random.Random(seed)
    answers, targets = [UNREADABLE, OPEN, OTTER, HERON, '{"answer": ["otter", "?"]}'], [OTTER, OPEN]
    pairs = [*((answer, target) for answer in answers[:1] for target in targets)]
    pairs += [(draw.choice(answers), draw.choice(targets)) for _ in range(30)]
    found = values(pairs)
    without = [answer for answer, target in pairs if target == OPEN]
    unreadable = sum(answer == UNREADABLE for answer in without) / len(without)
    share = len(without) / len(pairs)
    assert found["json_match"] == pytest.approx(found["valid_json"] * found["json_match_valid"])
    assert found["hallucination"] + found["json_match_unanswerable"] + unreadable == pytest.approx(1)
    both = (1 - share) * found["json_match_answerable"] + share * found["json_match_unanswerable"]
    assert found["json_match"] == pytest.approx(both)


def test_where_nothing_can_be_read_nothing_is_right_and_nothing_made_up():
    assert set(values([(UNREADABLE, OTTER), (UNREADABLE, OPEN)]).values()) == {0.0}


def test_a_target_in_words_or_with_several_answers_is_gold_too():
    both = json.dumps({"answer": ["otter", "fish otter"]})
    assert values([(OTTER, "Otter"), ('{"answer": "Fish Otter"}', both), (OPEN, "?")])["json_match"] == 1


def test_a_share_of_no_question_is_refused():
    with pytest.raises(UserError, match=r"none of 2 questions has no answer.*leave .*hallucination out of its metrics"):
        values([(OTTER, OTTER), (OPEN, HERON)])
    with pytest.raises(UserError, match="none of 1 questions has an answer"):
        values([(OTTER, OPEN)])
