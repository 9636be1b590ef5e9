import io

import pytest
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from spillover.errors import SpilloverError, UserError, shown
from spillover.report.printing import SafeConsole

HOSTILE = "a\x1b]0;title\x07b\u202ec\x9bd\u2066e\u200bf\rg\ud800"


def printed(*renderables, **options):
    stream = io.StringIO()
    console = SafeConsole(file=stream, width=200, **options)
    for renderable in renderables:
        console.print(renderable, markup=False)
    return stream.getvalue()


def test_whatever_is_printed_steers_no_terminal():
    table = Table(HOSTILE, title=HOSTILE)
    table.add_row(Text(HOSTILE))
    out = printed(HOSTILE, Text(HOSTILE), table)
    assert not set(out) & set("\x1b\x07\u202e\x9b\u2066\u200b\r\ud800")
    assert "‹U+001B›]0;title" in out
    assert "b‹U+202E›c" in out


def test_progress_bars_show_names_from_data_as_text():
    stream = io.StringIO()
    with Progress(console=SafeConsole(file=stream, force_terminal=True, width=200)) as bars:
        bars.add_task("name\x1b[5mblink\u202e", total=1)
    assert "\x1b[5m" not in stream.getvalue()
    assert "\u202e" not in stream.getvalue()


def test_colours_and_line_ends_of_our_own_stay():
    assert "\x1b[31m" in printed(Text("red", style="red"), force_terminal=True, color_system="standard")
    assert printed("two\nlines") == "two\nlines\n"


def test_what_scripts_and_emoji_need_stays():
    for text in ("\U0001f469\u200d\U0001f4bb", "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", "\tcafe\u0301\n"):
        assert shown(text) == text


@pytest.mark.parametrize("made", [SpilloverError, UserError])
def test_an_error_is_one_line_without_credentials(made):
    error = made("https://user:pa:ss@host:8080/x failed\nftp://t0ken@host\x1b[2J mail@example.org")
    assert str(error) == "https://host:8080/x failed ftp://host‹U+001B›[2J mail@example.org"
