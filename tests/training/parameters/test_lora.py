import importlib.util
from dataclasses import replace

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from spillover.errors import UserError
from spillover.models.adapters import attach
from spillover.models.load import load_model
from spillover.steps.step import Told
from spillover.steps.workshop import Workshop
from spillover.store.store import Store
from spillover.study.runner import run_study
from spillover.training.fit import fit
from spillover.training.optimization import TrainingSettings
from spillover.training.settings import Recipe
from tests.study.made_study import make_study
from tests.study.test_runner import Quiet, load
from tests.training.made_rows import made_rows

MISSING = importlib.util.find_spec("bitsandbytes") is None
DEVICES = [
    ("cpu", "fticl: parameters.bits 4 needs a CUDA device, training would run on 'cpu'; leave it out"),
    pytest.param(
        "cuda",
        r"fticl: parameters.bits 4 needs bitsandbytes; install it: pip install 'spillover\[bitsandbytes\]'",
        marks=pytest.mark.skipif(not MISSING, reason="bitsandbytes is installed"),
    ),
]


@pytest.fixture
def rounded_study(tmp_path):
    path = make_study(tmp_path / "study")
    recipe = "recipe: {demonstrations: 2, parameters: {kind: lora, bits: 4}}"
    path.write_text(path.read_text().replace("recipe: {demonstrations: 2}", recipe))
    return load(path)


@pytest.mark.parametrize(("device", "message"), DEVICES)
def test_a_rounded_base_is_refused_before_anything_is_written_where_it_cannot_be_had(
    device, message, rounded_study, tmp_path
):
    store = Store(tmp_path / "store")
    with pytest.raises(UserError, match=message) as error:
        run_study(rounded_study, store, Workshop(store, device=device), Quiet())
    assert "\n" not in str(error.value)
    assert not store.root.exists()


def test_the_report_says_that_a_rounded_base_is_not_what_the_adapter_is_evaluated_on(rounded_study):
    cards = {step.variant: step.recipe_card() for step in rounded_study.models}
    said = cards["fticl/first/16/0"]
    assert said["evaluated_on"] == "the base in full precision; training held it in 4 bits"
    assert said["parameters"]["bits"] == 4
    assert "evaluated_on" not in cards["sft/first/16/0"]


def test_an_adapter_learns_in_float32_on_a_base_that_is_held_in_the_precision_of_passes(tmp_path):
    path = make_study(tmp_path / "study")
    lean, plain = (f"{{parameters: {{kind: lora, rank: 4{more}}}}}" for more in (", base_precision: training", ""))
    text = path.read_text().replace("precision: float32", "precision: bfloat16").replace("{demonstrations: 2}", lean)
    path.write_text(text.replace("sizes: [16]}\n", f"sizes: [16], recipe: {plain}}}\n", 1))
    study, store = load(path), Store(tmp_path / "store")
    lean_step, plain_step = (
        next(step for step in study.finetunes if step.variant == f"{name}/first/16/0") for name in ("fticl", "sft")
    )
    workshop, logs = Workshop(store), {}
    for step in (lean_step, plain_step):
        model, adapter, logs[step.name] = step.train(workshop, Told())
        trained = {weight.dtype for weight in model.parameters() if weight.requires_grad}
        frozen = {weight.dtype for weight in model.parameters() if not weight.requires_grad}
        assert trained == {torch.float32}
        assert frozen == {torch.bfloat16 if step is lean_step else torch.float32}
        assert adapter is not None
    # The base's own weights are rounded once, and products are in both: a loss of some 4 nats moves by less than that.
    assert logs["fticl"]["losses"] == pytest.approx(logs["sft"]["losses"], abs=0.03)
    assert logs["fticl"]["losses"][-1] < logs["fticl"]["losses"][0]
    assert lean_step.recipe_card()["trained_on_base_in"] == "bfloat16"
    assert "trained_on_base_in" not in plain_step.recipe_card()
    assert lean_step.key != replace(lean_step, recipe=plain_step.recipe).key == plain_step.key


@pytest.mark.gpu
@pytest.mark.skipif(MISSING, reason="bitsandbytes is not installed")
def test_an_adapter_learns_on_a_rounded_base_and_belongs_to_the_one_in_full_precision(tmp_path):
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=64,
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=2,
        num_attention_heads=2,
        tie_word_embeddings=True,
    )
    LlamaForCausalLM(config).save_pretrained(tmp_path / "base")
    recipe = Recipe.model_validate({"parameters": {"kind": "lora", "rank": 4, "bits": 4}})
    losses, reports = {}, {}
    for bits in (None, 4):
        model = load_model(tmp_path / "base", dtype="float32", device="cuda", bits=bits)
        packed = [weight for weight in model.parameters() if weight.dtype == torch.uint8]
        assert len(packed) == (14 if bits else 0)  # four of attention and three of the MLP, in two layers
        before = [weight.clone() for weight in packed]
        adapter = recipe.parameters.select(model, seed=0)
        log = fit(model, made_rows(3), TrainingSettings(learning_rate=1e-3, batch_size=3, epochs=4), seed=0)
        assert all(torch.equal(weight, first) for weight, first in zip(packed, before, strict=True))
        losses[bits], reports[bits] = log.losses, log.recipe_report
    assert losses[4] == pytest.approx(losses[None], rel=0.05)
    assert losses[4][0] != losses[None][0]
    assert losses[4][-1] < losses[4][0]
    assert reports[4]["trained_share"] == pytest.approx(reports[None]["trained_share"])
    adapter.save(tmp_path / "adapter", base_name="tiny")
    whole = load_model(tmp_path / "base", dtype="float32", device="cuda")
    attach(whole, tmp_path / "adapter")
    ids = torch.tensor([made_rows(3).rows[0].prompt], device="cuda")
    assert torch.allclose(whole(ids).logits, model(ids).logits, atol=0.1)
