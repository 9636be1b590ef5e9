import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from spillover.errors import UserError
from spillover.models.encoder import EncoderClassifier
from spillover.models.resolve import resolve_model
from tests.models.made_encoder import make_encoder

SINGLE = [("good",), ("a bad dog sits in the rain all day",), ("sun",), ("who runs?",)]
PAIRS = [("a dog sits", "an animal sits"), ("sun", "it is night and it rains, and nobody is there")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_encoder(tmp_path_factory.mktemp("encoder"))


def begun(folder, **changes):
    settings = {"label_count": 3, "max_length": 40, "device": "cpu", "seed": 1} | changes
    made = EncoderClassifier.begin(folder, **settings)
    made.model.train(False)
    return made


@pytest.mark.parametrize("texts", [SINGLE, PAIRS])
def test_logits_are_those_of_transformers_own_forward_of_the_saved_folder_row_by_row(folder, tmp_path, texts):
    made = begun(folder)
    made.save(tmp_path / "saved")
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "saved").eval()
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "saved")
    with torch.inference_mode():
        alone = [model(**tokenizer(*row, truncation=True, max_length=40, return_tensors="pt")).logits for row in texts]
    np.testing.assert_allclose(made.logits(texts), torch.cat(alone).numpy(), atol=1e-6)


def test_a_saved_classifier_opens_as_itself_and_rows_do_not_depend_on_their_neighbours(folder, tmp_path):
    made = begun(folder)
    made.save(tmp_path / "saved")
    opened = EncoderClassifier.open(tmp_path / "saved", max_length=40, device="cpu")
    assert np.array_equal(opened.logits(SINGLE), made.logits(SINGLE))
    np.testing.assert_allclose(made.logits(SINGLE[::-1]), made.logits(SINGLE)[::-1], atol=1e-6)
    np.testing.assert_allclose(made.logits(SINGLE[:1]), made.logits(SINGLE)[:1], atol=1e-6)


def test_the_encoder_is_the_folders_and_the_head_is_drawn_by_the_seed(folder):
    one, other, again = (begun(folder, seed=seed).model for seed in (1, 2, 1))
    kept = load_file(folder / "model.safetensors")
    for name, weight in one.base_model.state_dict().items():
        if name in kept:
            assert torch.equal(weight, kept[name])
    assert torch.equal(one.classifier.weight, again.classifier.weight)
    assert not torch.equal(one.classifier.weight, other.classifier.weight)


def test_an_encoder_that_lacks_weights_is_refused(folder, tmp_path):
    broken = make_encoder(tmp_path / "broken")
    held = load_file(broken / "model.safetensors")
    lost = "encoder.layer.1.output.dense.weight"
    save_file({name: weight for name, weight in held.items() if name != lost}, broken / "model.safetensors")
    with pytest.raises(UserError, match=r"1 weights are missing, such as .*encoder\.layer\.1\.output\.dense\.weight"):
        begun(broken)


def test_an_encoder_folder_is_resolved_without_an_end_token(folder, tmp_path):
    found = resolve_model(str(folder), cache=tmp_path)
    assert found.context_length == 64
    assert found.parameter_count > 0
