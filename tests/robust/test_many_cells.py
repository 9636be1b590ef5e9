"""Stores of thousands of cells, and cells of many items, make a report in bounded time, memory and bytes."""

from pathlib import Path

import pytest
from benchmarks.made_store import TASKS, make_store

from tests.robust.test_million_rows import MOST_BYTES, MOST_CPU_SECONDS, measured

pytestmark = pytest.mark.long

MOST_REPORT_SECONDS, MOST_PAGE_BYTES = 45, 5 * 10**6


@pytest.mark.parametrize(
    ("variant_count", "tasks", "shots", "item_count"),
    [
        pytest.param(39, TASKS, (0, 1, 2, 4, 8), 60, id="2,000 cells"),
        pytest.param(1, ("mood-shop", "question-story"), (0,), 20_000, id="cells of 20,000 items"),
    ],
)
def test_a_large_store_is_checked_and_reported(tmp_path, variant_count, tasks, shots, item_count):
    make_store(tmp_path, item_count=item_count, variant_count=variant_count, tasks=tasks, shots=shots)
    bounded(tmp_path, MOST_CPU_SECONDS, "lint", "study.yaml")
    bounded(tmp_path, MOST_REPORT_SECONDS, "report", "study.yaml", "--report", "report")
    page = (tmp_path / "report" / "index.html").stat().st_size
    print(f"page: {page / 1e6:.1f} MB")
    assert page < MOST_PAGE_BYTES


def bounded(folder: Path, most_seconds: float, *arguments: str) -> None:
    seconds, size, _ = measured(folder, *arguments)
    print(f"{arguments[0]}: {seconds:.0f} CPU s, {size / 1e6:,.0f} MB")
    assert seconds < most_seconds
    assert size < MOST_BYTES
