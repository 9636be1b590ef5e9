import numpy as np
import pytest
import torch

from spillover.models.exact import in_float32, plain_log_likelihoods, plain_next_token
from spillover.models.scoring import answer_log_likelihoods
from tests.models.test_scoring import ANSWERS, ARCHITECTURES, plain_log_likelihood, prompts_of
from tests.models.tiny import tiny_model


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_plain_path_sums_the_log_probabilities_of_one_pass_an_answer(architecture):
    model = tiny_model(architecture)
    (prompt,) = prompts_of(0, [9])
    expected = [plain_log_likelihood(model, prompt, answer) for answer in ANSWERS]
    assert np.abs(plain_log_likelihoods(model, prompt, ANSWERS) - expected).max() <= 1e-5
    firsts = plain_next_token(model, prompt)
    assert firsts[11] == pytest.approx(expected[3], abs=1e-5)
    assert np.exp(firsts).sum() == pytest.approx(1)


def test_a_float32_model_is_its_own_exact_model():
    model = tiny_model()
    assert in_float32(model) is model


def test_a_bfloat16_model_is_copied_and_left_as_it_was():
    model = tiny_model().to(torch.bfloat16)
    exact = in_float32(model)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}
    assert all(
        torch.equal(one.float(), other) for one, other in zip(model.parameters(), exact.parameters(), strict=True)
    )
    prompts = prompts_of(4, [3, 5])
    fast = answer_log_likelihoods(model, prompts, [ANSWERS] * 2)
    gap = np.abs(fast[0] - plain_log_likelihoods(exact, prompts[0], ANSWERS)).max()
    assert 0 < gap < 2  # rounding of bfloat16 is seen, and it is only rounding
