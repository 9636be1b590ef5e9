"""Which floating-point type this machine is fast at, decided without loading torch."""

from pathlib import Path
from typing import Literal

Precision = Literal["float32", "bfloat16"]

BFLOAT16_FLAGS = frozenset({"amx_bf16", "avx512_bf16"})
"""Processor flags of native bfloat16 products; without one they are emulated, some 70 times slower than float32."""


def preferred_precision(
    *, processor: Path = Path("/proc/cpuinfo"), driver: Path = Path("/proc/driver/nvidia/version")
) -> Precision:
    """Return bfloat16 where an NVIDIA driver or a native processor instruction makes it fast, else float32."""
    if driver.exists():
        return "bfloat16"
    if not processor.is_file():
        return "float32"
    with processor.open(encoding="utf-8", errors="replace") as lines:
        flags = next((line.partition(":")[2].split() for line in lines if line.startswith("flags")), [])
    return "bfloat16" if BFLOAT16_FLAGS.intersection(flags) else "float32"
