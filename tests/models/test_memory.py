import platform
from pathlib import Path

import pytest
import torch

from spillover.models.memory import give_back_memory

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")


def resident_megabytes() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 2**20


def test_what_tensors_left_behind_in_the_heap_goes_back_to_the_system():
    torch.ones(7 * 2**20)  # once 28 MB were mapped and freed, glibc takes smaller ones from its heap
    tensors = [torch.ones(2**20) for _ in range(100)]  # 400 MB
    pins = tensors[::10]  # each keeps what lies below it in the heap
    del tensors
    before = resident_megabytes()
    give_back_memory()
    assert before - resident_megabytes() > 200
    assert all(float(pin.sum()) == 2**20 for pin in pins)
