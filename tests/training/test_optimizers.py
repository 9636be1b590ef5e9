import importlib.util

import pytest
import torch

from spillover.errors import UserError
from spillover.training.fit import fit
from spillover.training.optimization import TrainingSettings
from spillover.training.optimizers import require_bitsandbytes
from tests.models.tiny import tiny_model
from tests.training.made_rows import made_rows

MISSING = importlib.util.find_spec("bitsandbytes") is None


def test_eight_bit_optimizers_are_refused_on_a_processor():
    settings = TrainingSettings(optimizer="adamw-8bit")
    with pytest.raises(UserError, match=r"training.optimizer adamw-8bit needs a CUDA device, .* run on 'cpu'; leave"):
        fit(tiny_model(), made_rows(2), settings, seed=0)


@pytest.mark.skipif(not MISSING, reason="bitsandbytes is installed")
def test_an_absent_package_is_named_with_how_to_install_it():
    with pytest.raises(UserError, match=r"needs bitsandbytes; install it: pip install 'spillover\[bits"):
        require_bitsandbytes("training.optimizer adamw-8bit", "cuda:0")


@pytest.mark.gpu
@pytest.mark.skipif(MISSING, reason="bitsandbytes is not installed")
@pytest.mark.parametrize("optimizer", ["adamw-8bit", "paged-adamw-8bit"])
def test_eight_bit_optimizers_learn_nearly_what_adamw_does(optimizer):
    losses = {}
    for name in ("adamw", optimizer):
        model = torch.nn.Module.to(tiny_model(scale=1), "cuda")
        losses[name] = fit(model, made_rows(3), TrainingSettings(learning_rate=1e-2, optimizer=name), seed=0).losses
    assert losses[optimizer] == pytest.approx(losses["adamw"], rel=0.05)
