import pytest
import torch

from spillover.training.loss import summed_loss
from spillover.training.rows import TrainingRow


def test_loss_and_gradient_are_exact_to_rounding_over_a_large_vocabulary():
    rows = [TrainingRow((1,), (token, token + 1)) for token in range(32)]
    logits = 4 * torch.randn(64, 49_152, generator=torch.Generator().manual_seed(0))
    asked = logits.clone().requires_grad_()
    loss = summed_loss(asked, rows)
    loss.backward()
    wide, targets = logits.double(), torch.tensor([token for row in rows for token in row.target])
    expected = torch.nn.functional.cross_entropy(wide, targets, reduction="sum")
    assert float(loss.detach()) == pytest.approx(float(expected), abs=64 * 1e-6)
    share = asked.grad.double().sum(dim=1)  # all shares sum to one, less the one of the target
    assert float(share.mean().abs()) <= 1e-6


def test_a_row_without_targets_has_no_loss():
    assert float(summed_loss(torch.zeros(0, 5), [TrainingRow((1, 2), ())])) == 0.0
