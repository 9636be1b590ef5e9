import pytest
import torch
from gguf import GGUFWriter

from spillover.errors import UserError
from spillover.models.load import load_model
from spillover.models.pull import convert_gguf
from tests.models.folders import gguf_file, tiny_llama
from tests.models.gemma import gemma_gguf


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"rope.scaling.type": "linear", "rope.scaling.factor": 8.0}, r"the scaling of rotary positions \(linear\)"),
        ({"rope.freq_base_swa": 20_000.0}, r"the rotary base of windowed layers \(20000\)"),
        ({"attention.sliding_window_pattern": 3}, "which layers have a window"),
        ({"attention.sliding_window_pattern": [False, *[True] * 6]}, "which layers have a window"),
    ],
)
def test_a_setting_that_would_be_lost_is_named(more, message, tmp_path):
    gemma_gguf(tmp_path / "gemma.gguf", more=more)
    with pytest.raises(UserError, match=rf"gemma\.gguf: transformers leaves out {message}; use a safetensors folder"):
        convert_gguf(tmp_path / "gemma.gguf", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_scale_of_attention_that_no_file_states_is_not_guessed(tmp_path):
    gemma_gguf(tmp_path / "gemma.gguf", head_size=128)
    message = r"leaves out the scale of attention \(it takes 256, heads are 128 wide\)"
    with pytest.raises(UserError, match=message):
        convert_gguf(tmp_path / "gemma.gguf", tmp_path / "out")


def test_settings_that_say_what_is_so_anyway_are_no_loss(tmp_path):
    more = {"rope.scaling.type": "none", "rope.freq_base_swa": 10_000.0, "attention.sliding_window_pattern": 6}
    original = gemma_gguf(tmp_path / "gemma.gguf", more=more)
    convert_gguf(tmp_path / "gemma.gguf", tmp_path / "out")
    ids = torch.arange(5, 40)[None]
    with torch.inference_mode():
        logits = load_model(tmp_path / "out", dtype="float32", device="cpu")(ids).logits
        torch.testing.assert_close(logits, original(ids).logits, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("rope_freqs.weight", r"the scaling of rotary positions \(tensor rope_freqs\.weight\)"),
        ("blk.0.attn_q.bias", r"weights \(the file holds [\d,]+ numbers, it takes [\d,]+\)"),
    ],
)
def test_a_tensor_that_would_be_lost_is_told(name, message, tmp_path, monkeypatch):
    # One more tensor just before the file is written.
    written = GGUFWriter.write_header_to_file

    def with_one_more(writer):
        writer.add_tensor(name, torch.ones(32).numpy())
        written(writer)

    monkeypatch.setattr(GGUFWriter, "write_header_to_file", with_one_more)
    path = gguf_file(tmp_path / "tiny.gguf", tiny_llama())
    with pytest.raises(UserError, match=rf"transformers leaves out {message}"):
        convert_gguf(path, tmp_path / "out")
