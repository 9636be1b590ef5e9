import io

import pytest
from rich.console import Console

from spillover.questions import answered
from spillover.report.text import markdown, printable, text_summary, visible
from tests.report.made_results import made_results


def test_the_summary_prints_every_verdict_sentence_as_it_is() -> None:
    results = made_results()
    analysis = answered(results, resample_count=200)
    out = io.StringIO()
    Console(file=out, width=1000).print(text_summary(results, analysis))
    lines = out.getvalue().splitlines()
    assert lines[0].startswith("made-up quickstart")
    assert [line.split(maxsplit=2)[1:] for line in lines[1:] if line[2] != " "] == [
        [verdict.light, verdict.sentence] for verdict in analysis.verdicts
    ]


def test_terminal_codes_in_a_name_are_not_obeyed() -> None:
    results = made_results("\x1b[31m[bold]")
    summary = text_summary(results, answered(results, resample_count=50))
    assert "\x1b" not in summary.plain
    assert "[bold]" in summary.plain


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\nb\tc", "a b c"),
        ("a\u202eb", "a‹U+202E right-to-left override›b"),
        ("a\x00b\ud800", "a‹U+0000 control›b‹U+D800 control›"),
        ("عربى 😀", "عربى 😀"),
        ("x" * 600, "x" * 500 + " … (100 more characters)"),
    ],
)
def test_names_are_shown_on_one_line_without_hidden_characters(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_markdown_shows_the_text_itself() -> None:
    assert markdown("a|b_c [0.1, 0.2] <b>") == "a\\|b\\_c [0.1, 0.2] \\<b\\>"
    assert markdown("[a](b)") == "[a\\](b)"


def test_visible_marks_what_cannot_be_seen_and_escapes_the_rest() -> None:
    mark = "<i>{}</i>".format
    assert visible("a <b>\n c  d\t\u200b", 100) == (
        f"a &lt;b&gt;{mark('⏎')}\n{mark('·')}c{mark('··')}d{mark('⇥')}{mark('‹U+200B zero width space›')}"
    )


def test_visible_leaves_out_the_middle_of_a_long_text_and_counts_it() -> None:
    shown = visible("a" * 50 + "b" * 50, 20)
    assert shown == "a" * 10 + "<i>… 80 characters not shown …</i>" + "b" * 10
