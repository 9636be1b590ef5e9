import io

import pytest
from rich.console import Console

from spillover.questions import answered
from spillover.report.text_tables import text_report
from tests.report.made_results import made_results

RESULTS = made_results()
ANALYSIS = answered(RESULTS, resample_count=200)


def printed(width, results=RESULTS, analysis=ANALYSIS):
    out = io.StringIO()
    console = Console(file=out, width=width)
    for part in text_report(results, analysis, width=width):
        console.print(part)
    return out.getvalue()


@pytest.mark.parametrize("width", [60, 80, 160])
def test_every_cell_and_relation_is_there_at_any_width(width):
    out = printed(width)
    assert max(map(len, out.splitlines())) <= width
    together = "".join(out.split())
    for item in ANALYSIS.relations:
        assert f"{item.base_mean:.2f}" in together
    for verdict in ANALYSIS.verdicts:
        assert "".join(verdict.sentence.split()) in together
    for task in RESULTS.tasks:
        assert task.name in together


def test_variants_stand_side_by_side_where_there_is_room():
    lines = printed(160).splitlines()
    assert any("sft/siqa/128/0" in line and "fticl/siqa/128/0" in line for line in lines)
    narrow = printed(70).splitlines()
    assert not any("sft/siqa/128/0" in line and "fticl/siqa/128/0" in line for line in narrow)


def test_hostile_names_print_no_control_sequence():
    hostile = made_results("\x1b[2J\u202e")
    out = printed(120, hostile, answered(hostile, resample_count=50))
    assert "\x1b" not in out
    assert "\u202e" not in out
