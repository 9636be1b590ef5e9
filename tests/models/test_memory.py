import platform
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from spillover.models.generation import ROW_TOKENS, cached_bytes, row_tokens
from spillover.models.memory import GPU_SHARE, give_back_memory
from spillover.models.scoring import PACK_TOKENS, device_pack_tokens
from spillover.steps.workshop import Workshop
from spillover.store.store import Store
from tests.models.tiny import tiny_model

has_glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")


@pytest.fixture
def on_gpu(monkeypatch):
    """A model that says it is on a device of 20 GB, 8 of them free."""
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (8 * 10**9, 20 * 10**9))
    model = tiny_model("llama")
    return SimpleNamespace(device=torch.device("cuda"), config=model.config, dtype=torch.bfloat16)


def test_asking_takes_its_share_of_what_is_free_on_a_gpu(on_gpu):
    for share in (0.05, GPU_SHARE, 0.9):
        taken = row_tokens(on_gpu, share) * cached_bytes(on_gpu)
        assert taken == pytest.approx(share * 8e9, rel=1e-3)
    on_gpu.config.num_hidden_layers *= 10**6  # so large a model leaves room for no more than a processor takes
    assert row_tokens(on_gpu, GPU_SHARE) == ROW_TOKENS


def test_packs_are_smaller_where_less_of_a_gpu_may_be_taken_and_never_larger(on_gpu):
    assert device_pack_tokens(on_gpu, GPU_SHARE) == device_pack_tokens(on_gpu, 1) == PACK_TOKENS["cuda"]
    assert device_pack_tokens(on_gpu, GPU_SHARE / 2) == PACK_TOKENS["cuda"] // 2
    assert device_pack_tokens(on_gpu, 0.01) == PACK_TOKENS["cpu"]


def test_a_processor_is_asked_alike_whatever_the_share():
    model = tiny_model("llama")
    assert {row_tokens(model, share) for share in (0.1, 1)} == {ROW_TOKENS}
    assert {device_pack_tokens(model, share) for share in (0.1, 1)} == {PACK_TOKENS["cpu"]}


def test_the_share_of_a_run_reaches_what_is_asked(tmp_path):
    tiny_model("llama").save_pretrained(tmp_path / "base")
    tiny_model("llama").save_pretrained(tmp_path / "other")
    workshop = Workshop(Store(tmp_path / "store"), gpu_share=0.1)
    for weights in ("base", "other"):
        loaded = workshop.model(tmp_path / "base", weights=tmp_path / weights, is_adapter=False, precision="float32")
        assert loaded.prefixes.gpu_share == 0.1


def resident_megabytes() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 2**20


@has_glibc
def test_what_tensors_left_behind_in_the_heap_goes_back_to_the_system():
    torch.ones(7 * 2**20)  # once 28 MB were mapped and freed, glibc takes smaller ones from its heap
    tensors = [torch.ones(2**20) for _ in range(100)]  # 400 MB
    pins = tensors[::10]  # each keeps what lies below it in the heap
    del tensors
    before = resident_megabytes()
    give_back_memory()
    assert before - resident_megabytes() > 200
    assert all(float(pin.sum()) == 2**20 for pin in pins)
