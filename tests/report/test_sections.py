"""Every section of the report in every format, from findings of a made study and with hostile names."""

import io
import re
from dataclasses import replace

import pytest
from rich.console import Console

from spillover.questions import QUESTIONS, answered
from spillover.report.html import html_parts, html_section
from spillover.report.latex import latex_table
from spillover.report.markdown import markdown_parts, markdown_section
from spillover.report.section import Details, Entry, Group, Place, Section, Table, code, sections_of, table, text
from spillover.report.sections import printed_tables, report_sections
from spillover.report.text import text_summary
from spillover.report.text_tables import terminal_tables
from spillover.report.write import summary
from tests.report.made_results import made_results
from tests.report.page_reader import read_page

HOSTILE = "</td><script>alert(1)</script>|`*_[a](javascript:b)\u202e\x1b[2J\n| x |"


def made_sections(hostile: str = "") -> list[Section]:
    results = made_results(hostile)
    return report_sections(results, answered(results, resample_count=50))


def tables_in(parts):
    for part in parts:
        if isinstance(part, Table):
            yield part
        elif isinstance(part, Details):
            yield from tables_in(part.parts)


SECTIONS = made_sections(HOSTILE)
TABLES = [found for section in SECTIONS for found in tables_in(section.parts)]


@pytest.mark.parametrize("section", SECTIONS, ids=[section.id for section in SECTIONS])
def test_a_section_of_hostile_names_is_whole_html_whose_text_is_text(section):
    page = html_section(section)
    reader = read_page(page)
    assert "script" not in reader.tags
    assert not [name for name, _ in reader.attributes if name.startswith("on")]
    assert reader.ids == [section.id]
    assert "\u202e" not in page
    assert "\x1b" not in page


@pytest.mark.parametrize("section", SECTIONS, ids=[section.id for section in SECTIONS])
def test_a_section_of_hostile_names_is_markdown_of_escaped_text_and_even_tables(section):
    shown = markdown_section(section)
    assert not {"\u202e", "\x1b"} & set(shown)
    typed = re.sub(r"(?m)^    .*$|(`+)[^`].*?(?<!`)\1(?!`)", "", shown)  # what is shown as it is typed
    assert not re.search(r"(?<!\\)<", typed)
    assert not re.search(r"(?<!\\)\]\(", typed)
    for block in re.split(r"\n(?!\|)", shown):
        lines = [line for line in block.splitlines() if line.startswith("|")]
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in lines}) <= 1


@pytest.mark.parametrize("found", TABLES, ids=[found.label[:20] for found in TABLES])
def test_any_table_of_hostile_names_is_latex_and_lines_of_a_terminal(found):
    written = latex_table(found, found.label)
    plain = re.sub(r"\\[{}]", "", written)
    assert plain.count("{") == plain.count("}")
    rows = [line for line in written.splitlines() if line.endswith(r"\\")]
    assert {len(re.split(r"(?<!\\)&", row)) for row in rows} == {len(found.columns)}
    for width in (40, 100):
        out = io.StringIO()
        for piece in terminal_tables(found, width):
            Console(file=out, width=width).print(piece)
        assert not {"\u202e", "\x1b"} & set(out.getvalue())
        assert max(map(len, out.getvalue().splitlines())) <= width


def test_every_question_that_finds_something_in_the_made_study_has_sections_in_every_format():
    results = made_results()
    analysis = answered(results, resample_count=50)
    for question in QUESTIONS:
        found = analysis.of(question)
        for section in question.sections(results, analysis, found) if found is not None else ():
            assert section.title in html_section(section)
            assert section.title in markdown_section(section)


def test_sections_without_parts_are_left_out_and_places_are_in_order():
    found = made_sections()
    places = [section.place for section in found]
    assert places == sorted(places)
    assert Place.EXPLORER not in places
    assert all(section.parts for section in found)


def test_a_table_wider_than_the_terminal_is_split_after_its_facts():
    made = table(
        "Wide", ("name", "kind", *(f"column {index}" for index in range(8))), [("a", "b", *"01234567")], fact_count=2
    )
    pieces = list(terminal_tables(made, 50))
    headers = [[str(column.header) for column in piece.columns] for piece in pieces]
    assert len(pieces) > 1
    assert all(header[:2] == ["name", "kind"] for header in headers)
    assert [name for header in headers for name in header[2:]] == [f"column {index}" for index in range(8)]
    assert len(list(terminal_tables(made, 150))) == 1


def test_only_rows_that_stand_together_are_parted_by_a_line():
    def classes(*firsts):
        return re.findall(
            r"<tr( class=.first.)?><th scope=.row.", html_parts([table("t", ("a",), [(first,) for first in firsts])])
        )

    assert [bool(found) for found in classes("x", "x", "y", "y")] == [False, False, True, False]
    assert not any(classes("x", "y", "z"))


def test_backticks_do_not_end_what_is_shown_as_typed():
    assert markdown_parts([text(code("a`b``<i>"))]) == "``` a`b``<i> ```\n"
    assert markdown_parts([text(code("plain"))]) == "`plain`\n"


def test_what_other_questions_found_stands_under_a_verdict_everywhere():
    results = made_results()
    analysis = answered(results, resample_count=50)
    verdict = replace(analysis.verdicts[0], evidence=("moved *least* of all", "a second line"))
    changed = replace(analysis, verdicts=(verdict, *analysis.verdicts[1:]))
    (section,) = (item for item in sections_of(results, changed) if item.id == "verdicts")
    assert "Moved *least* of all. A second line." in read_page(html_section(section)).text
    assert "    - moved \\*least\\* of all\n    - a second line\n- " in markdown_section(section)
    assert "\n             moved *least* of all\n" in text_summary(results, changed).plain
    assert summary(results, changed)["verdicts"][0]["evidence"] == ["moved *least* of all", "a second line"]


def test_the_tables_of_paper_and_terminal_are_the_relations_and_the_matrices():
    results = made_results()
    labels = [found.label for found in printed_tables(results, answered(results, resample_count=50))]
    assert [label.split(",")[0] for label in labels] == [
        "Mean differences to the base by relation",
        "Differences to the base of variants trained on siqa and amazon",
    ]


def test_a_cell_over_several_rows_or_columns_takes_its_place_in_every_format():
    rows = (("one", Entry("both", columns=2)), (Entry("tall", rows=2), "1", "2"), (None, "3", "4"))
    made = replace(table("t", ("a", "b", "c"), ()), groups=(Group(rows),))
    lines = [line for line in markdown_parts([made]).splitlines() if line.startswith("|")]
    assert {line.count("|") for line in lines} == {4}
    assert lines[-1] == "| tall | 3 | 4 |"
    assert latex_table(made, "t").count("&") == 2 * 4
