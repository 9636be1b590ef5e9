import io

import pytest
from rich.console import Console

from spillover.report.terminal_table import table, text

HEADER = ("tested on", "shots", "difference", "interval")
ROWS = [("a rather long name of a task", "0", "+0.123456", "[−0.12, 0.34]"), ("short", "16", "−0.987654", "[−1, −0]")]


def printed(width, header=HEADER, rows=ROWS, **options):
    out = io.StringIO()
    Console(file=out, width=width, **options).print(table(header, rows, width=width))
    return out.getvalue()


@pytest.mark.parametrize("width", [20, 30, 45, 60, 120])
def test_a_table_fits_the_width_and_no_character_of_a_cell_is_lost(width):
    out = printed(width)
    assert max(map(len, out.splitlines())) <= width
    assert "…" not in out
    for row in ROWS:
        for cell in row:
            assert not set(cell) - set(out)
    digits = "".join(character for character in out if character.isdigit())
    assert sorted(digits) == sorted(
        character for row in ROWS for cell in row for character in cell if character.isdigit()
    )


def test_numbers_stay_on_one_line_while_a_long_name_is_folded():
    lines = printed(60).splitlines()
    assert any("+0.123456" in line and "[−0.12, 0.34]" in line for line in lines)


def test_text_from_data_is_neither_markup_nor_emoji_nor_a_control_sequence():
    out = printed(80, rows=[("[red]x[/red]", ":dog:", "\x1b[31m", "a\nb")], force_terminal=True, no_color=True)
    assert "[red]x[/red]" in out
    assert ":dog:" in out
    assert "\x1b[31m" not in out
    assert "U+001B" in out
    assert "a b" in out


def test_text_keeps_its_style():
    assert text("x", "red").style == "red"
