import gc
from dataclasses import asdict

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import PreTrainedModel

from spillover.models.load import load_model
from spillover.models.tokenizer import load_tokenizer
from spillover.prompts.encoding import Encoder
from spillover.training.drift.function import function_drift, outputs
from spillover.training.drift.measure import measure_drift
from spillover.training.drift.tensors import Tensors
from spillover.training.drift.weights import weight_drift
from spillover.training.general_text import general_rows
from tests.study.made_study import make_model


def loaded(folder):
    return load_model(folder, dtype="float32", device="cpu")


def moved(folder):
    """A variant of a base: a few of its weights moved."""
    model = loaded(folder)
    with torch.no_grad():
        for index, weight in enumerate(model.parameters()):
            weight[: 1 + index % 3] += 0.01 * (1 + index)
    return model


def saved_as(folder, dtype, renamed):
    """Save the base's weights in another type, or under the names of the model without its head."""
    tensors = {name: tensor.to(dtype) for name, tensor in load_file(folder / "model.safetensors").items()}
    tensors = {name.removeprefix("model.") if renamed else name: tensor for name, tensor in tensors.items()}
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})


@pytest.mark.parametrize(("dtype", "renamed"), [(torch.float32, False), (torch.bfloat16, False), (torch.float32, True)])
def test_a_base_that_is_read_tensor_by_tensor_gives_what_two_models_in_memory_do(tmp_path, dtype, renamed):
    folder = make_model(tmp_path / "base")
    saved_as(folder, dtype, renamed)
    encoder = Encoder(load_tokenizer(folder))
    rows = [(*row.prompt, *row.target) for row in general_rows(encoder)]
    base, variant = loaded(folder), moved(folder)
    found = measure_drift(lambda: moved(folder), folder, encoder)
    moved_tokens, probe = found.pop("moved_tokens"), found.pop("probe")
    assert found == weight_drift(Tensors.of_model(variant), Tensors.of_model(base))
    assert found["relative_norm"] > 0
    assert moved_tokens
    assert probe == asdict(function_drift(outputs(variant, rows), outputs(base, rows)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_base_is_out_of_memory_when_the_variant_is_loaded(tmp_path, dtype):
    folder = make_model(tmp_path / "base")
    saved_as(folder, dtype, renamed=False)
    gc.collect()
    before = {id(thing) for thing in gc.get_objects() if issubclass(type(thing), PreTrainedModel)}
    alive = []

    def load():
        gc.collect()
        alive.extend(t for t in gc.get_objects() if issubclass(type(t), PreTrainedModel) and id(t) not in before)
        return moved(folder)

    measure_drift(load, folder, Encoder(load_tokenizer(folder)))
    assert not alive
