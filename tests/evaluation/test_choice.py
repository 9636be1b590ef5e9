import math

import pytest

from spillover.errors import SpilloverError
from spillover.evaluation.choice import Scoring, answer_shares, chosen_answer, of_cell
from spillover.records import Prediction

# Log-likelihoods by hand: "bad" wins raw; the prior says "bad" is twice as likely without an input.
LABELLED = Prediction(
    "0",
    "good",
    "bad",
    (math.log(0.2), math.log(0.3)),
    content_free=(math.log(1 / 3), math.log(2 / 3)),
    premise=(math.log(0.1), math.log(0.1)),
)
CHOICE = Prediction("1", "a long reply", "no", (-6.0, -2.0), options=("a long reply", "no"))


def test_raw_scoring_takes_the_answer_of_the_highest_log_likelihood():
    assert chosen_answer(LABELLED, Scoring(answers=("good", "bad"))) == "bad"
    assert chosen_answer(CHOICE, Scoring()) == "no"


def test_length_normalised_scoring_compares_nats_per_character():
    # -6 / 12 characters against -2 / 2
    assert chosen_answer(CHOICE, Scoring(length_normalised=True)) == "a long reply"


def test_contextual_calibration_divides_by_the_share_after_content_free_inputs():
    # 0.2 / (1/3) = 0.6 against 0.3 / (2/3) = 0.45
    scoring = Scoring(answers=("good", "bad"), kind="contextual")
    assert chosen_answer(LABELLED, scoring) == "good"
    assert answer_shares(LABELLED, scoring) == pytest.approx([0.6 / 1.05, 0.45 / 1.05])


def test_pmi_divides_by_the_probability_after_the_end_of_the_prompt_alone():
    # 0.2 / 0.1 against 0.3 / 0.1
    assert chosen_answer(LABELLED, Scoring(answers=("good", "bad"), kind="pmi")) == "bad"


def test_shares_sum_to_one_over_the_answer_set():
    assert answer_shares(LABELLED, Scoring(answers=("good", "bad"))) == pytest.approx([0.4, 0.6])


def test_generated_text_is_its_own_answer():
    assert chosen_answer(Prediction("0", "x", "some text", token_ids=(1, 2)), Scoring()) == "some text"


def test_calibration_without_content_free_scores_is_refused():
    with pytest.raises(SpilloverError, match="row '1' was not asked what contextual scoring subtracts"):
        chosen_answer(CHOICE, Scoring(kind="contextual"))


def test_a_metric_of_choices_over_text_is_refused():
    with pytest.raises(SpilloverError, match="row '0' has 0 log-likelihoods for 0 answers; this metric needs a choice"):
        answer_shares(Prediction("0", "x", "some text"), Scoring())


def labelled(name, *shares):
    """Return a choice between two answers whose log-likelihoods lie beside their shares by a constant of its own."""
    return Prediction(name, "good", "", tuple(math.log(share) - int(name) for share in shares))


def test_batch_scoring_takes_off_what_the_cell_says_on_average():
    cell = [labelled("0", 0.1, 0.9), labelled("1", 0.2, 0.8), labelled("2", 0.3, 0.7)]
    batch = of_cell(Scoring(answers=("good", "bad"), kind="batch"), cell)
    means = [sum(math.log(share) for share in column) / 3 for column in ((0.1, 0.2, 0.3), (0.9, 0.8, 0.7))]
    assert batch.cell_mean == pytest.approx(means)
    # Raw all say bad; less what they say on average, the last one leans most to good.
    assert [chosen_answer(row, batch) for row in cell] == ["bad", "good", "good"]
    weights = [0.1 / math.exp(means[0]), 0.9 / math.exp(means[1])]
    assert answer_shares(cell[0], batch) == pytest.approx([weight / sum(weights) for weight in weights])


def test_batch_scoring_without_the_cell_is_an_error_and_other_scorings_need_none():
    with pytest.raises(SpilloverError, match="not asked what batch scoring subtracts"):
        chosen_answer(LABELLED, Scoring(answers=("good", "bad"), kind="batch"))
    raw = Scoring(answers=("good", "bad"))
    assert of_cell(raw, [LABELLED]) == raw
