"""A question is a folder of two files and a place in the registry: one that is added so shows up everywhere."""

import importlib
import re
import sys
from dataclasses import replace

import pytest

import spillover.questions
from spillover.questions import QUESTIONS, answered
from spillover.records import AskedItem, Cell, CellChanges, ItemAnswer, ItemChange
from spillover.report.page import html_page, markdown_page
from spillover.report.write import summary
from tests.report.made_results import made_results
from tests.report.page_reader import read_page

VARIANT = "sft/siqa/128/0"
FILES = {
    "__init__.py": '"""Do variants answer at another length than the base?"""\n',
    "question.py": '''"""Length as a question: whether variants answer in longer or shorter texts than the base."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from statistics import fmean

from spillover.analysis.analysis import Analysis
from spillover.analysis.wording import plain, signed
from spillover.question import Question
from spillover.records import Cell, StudyResults
from spillover.report.figures import Row, code_of, line_chart, series_of, svg
from spillover.report.section import Chart, Column, Panel, Section, number, table, text
from spillover.report.tables import condition_words


@dataclass(frozen=True, slots=True)
class Length:
    """Mean characters of the answers to the items that changed in a free-text cell."""

    variant: str
    cell: Cell
    base: float
    own: float


class LengthQuestion(Question[tuple[Length, ...]]):
    """Do variants answer at another length than the base?"""

    name = "length"

    def find(self, results: StudyResults, analysis: Analysis) -> tuple[Length, ...] | None:
        free = {task.name for task in results.tasks if not task.answers}
        found = []
        for row in results.changes:
            items = (*row.regressions, *row.gains)
            if items and row.cell.tested_on in free:
                base, own = (fmean(len(getattr(item, side).text) for item in items) for side in ("base", "variant"))
                found.append(Length(row.variant, row.cell, base, own))
        return tuple(found) or None

    def sections(self, results: StudyResults, analysis: Analysis, finding: tuple[Length, ...]) -> Sequence[Section]:
        conditions = condition_words(results)
        rows = [
            (
                *(item.variant, item.cell.tested_on, conditions[item.cell]),
                *(plain(item.base, 1), plain(item.own, 1), signed(item.own - item.base, 1)),
            )
            for item in finding
        ]
        columns: tuple[Column | str, ...] = (
            *("variant", "tested on"),
            *map(number, ("shots", "base", "variant", "difference")),
        )
        return [
            Section(
                "length",
                "How long answers are",
                (
                    text("Mean characters of the answers that changed."),
                    Chart("Lengths by shots", partial(panels, results, finding), legend=series_of(results)),
                    table("Lengths of answers", columns, rows, fact_count=3),
                ),
            )
        ]

    def summary(self, finding: tuple[Length, ...] | None) -> Mapping[str, object]:
        return {"length": [asdict(item) for item in finding or ()]}


def panels(results: StudyResults, finding: Sequence[Length]) -> list[Panel]:
    """Draw the difference to the base by shots, one panel per tested task, one line per variant."""
    import altair as alt

    styles = series_of(results)
    x, y = alt.X("shots:O", title="shots"), alt.Y("value:Q", title="characters over the base")
    chart = line_chart(styles, x, y, has_points=True).properties(width=180, height=140)
    drawn = []
    for task in dict.fromkeys(item.cell.tested_on for item in finding):
        rows: list[Row] = [
            {"model": code_of(styles, item.variant), "shots": item.cell.shots, "value": item.own - item.base}
            for item in finding
            if item.cell.tested_on == task
        ]
        drawn.append(Panel(task, "", svg(chart, rows)))
    return drawn


LENGTH = LengthQuestion()
''',
}


def changes(task, shots, *texts):
    """Return changes of one variant, one item for each pair of what the base and the variant answered."""
    items = tuple(
        ItemChange(AskedItem(f"{task}-{place}", "Why?", "gold"), ItemAnswer(base, 0.0), ItemAnswer(own, 1.0))
        for place, (base, own) in enumerate(texts)
    )
    return CellChanges(VARIANT, Cell(task, 1, shots, 0), "rouge_l", items[:1], items[1:], 1, len(items) - 1)


RESULTS = replace(
    made_results(),
    changes=(
        changes("siqa", 0, ("abc", "abcdefgh"), ("abcde", "abcdefghij")),
        changes("siqa", 2, ("abcd", "a"), ("ab", "abc")),
        changes("narrativeqa", 0, ("", "abcd"), ("abcd", "")),
        changes("amazon", 0, ("positive", "negative"), ("negative", "bad")),
    ),
)
FREE = ("siqa", "narrativeqa")
ROWS = [
    [VARIANT, "siqa", "0", "4.0", "9.0", "+5.0"],
    [VARIANT, "siqa", "2", "3.0", "2.0", "−1.0"],
    [VARIANT, "narrativeqa", "0", "2.0", "2.0", "±0.0"],
]
"""Variant, tested task, shots, mean characters of the base and of the variant, difference; choices have no length."""


@pytest.fixture
def registered(tmp_path, monkeypatch):
    """Put the two files among the rooms of the questions, and the question at the end of the registry."""
    room = tmp_path / "length"
    room.mkdir()
    for name, content in FILES.items():
        (room / name).write_text(content, encoding="utf-8")
    with monkeypatch.context() as patch:
        patch.setattr(spillover.questions, "__path__", [*spillover.questions.__path__, str(tmp_path)])
        importlib.invalidate_caches()
        question = importlib.import_module("spillover.questions.length.question").LENGTH
        patch.setattr(spillover.questions, "QUESTIONS", (*QUESTIONS, question))
        yield patch
    for name in [name for name in sys.modules if name.startswith("spillover.questions.length")]:
        del sys.modules[name]
    del spillover.questions.length


def written():
    """Return both pages and the summary of the study, by the questions that are on the registry now."""
    analysis = answered(RESULTS, resample_count=20)
    return html_page(RESULTS, analysis), markdown_page(RESULTS, analysis), summary(RESULTS, analysis)


def test_a_question_of_two_files_shows_up_everywhere_and_leaves_nothing_behind(registered):
    html, markdown, told = written()
    registered.undo()
    html_without, markdown_without, told_without = written()

    (section,) = re.findall(
        r'<details class="fold">(?:(?!<details class="fold">).)*?<section id="length".*?</section>\s*</details>\n+',
        html,
        flags=re.S,
    )
    lead, table = section.split("<table>")
    labels = [
        value for name, value in read_page(f"{lead}</div></section></details>").attributes if name == "aria-label"
    ]
    assert [label for label in labels if "by shots" in label] == [f"Lengths by shots: {task}" for task in FREE]
    assert lead.count('<svg xmlns="') == len(FREE)
    cells = re.findall(r"<t[dh].*?>(.*?)</t[dh]>", re.sub(r"</?bdi.*?>", "", table.partition("<tbody>")[2]))
    assert [cells[start : start + 6] for start in range(0, len(cells), 6)] == ROWS

    (section_in_markdown,) = re.findall(r"## How long answers are\n.*?\n\n(?=## )", markdown, flags=re.S)
    *_, bar, first, second, third = section_in_markdown.strip().splitlines()
    assert bar.startswith("| --- | --- | ---:")
    assert [first, second, third] == [f"| {' | '.join(row)} |" for row in ROWS]
    assert "svg" not in section_in_markdown

    link = '<a href="#length">Length</a>\n'
    assert html.replace(section, "").replace(link, "") == html_without
    assert markdown.replace(section_in_markdown, "") == markdown_without
    assert [[row["cell"]["tested_on"], row["base"], row["own"]] for row in told.pop("length")] == [
        [row[1], float(row[3]), float(row[4])] for row in ROWS
    ]
    assert told == told_without
