from pathlib import Path

import pytest

from spillover.models.precision import preferred_precision


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("flags\t\t: fpu avx2 avx512f", "float32"),
        ("flags\t\t: fpu avx512_bf16 avx512f", "bfloat16"),
        ("flags\t\t: fpu amx_bf16", "bfloat16"),
        ("bugs : avx512_bf16_like\nflags : fpu", "float32"),
        ("Features : fp asimd bf16", "float32"),
    ],
)
def test_a_processor_is_known_by_its_flags(tmp_path: Path, flags: str, expected: str) -> None:
    (tmp_path / "cpuinfo").write_text(f"processor : 0\n{flags}\n", encoding="utf-8")
    assert preferred_precision(processor=tmp_path / "cpuinfo", driver=tmp_path / "none") == expected


def test_a_machine_without_proc_computes_in_float32(tmp_path: Path) -> None:
    assert preferred_precision(processor=tmp_path / "none", driver=tmp_path / "none") == "float32"


def test_an_nvidia_driver_means_bfloat16(tmp_path: Path) -> None:
    (tmp_path / "version").write_text("NVRM", encoding="utf-8")
    assert preferred_precision(processor=tmp_path / "none", driver=tmp_path / "version") == "bfloat16"
