import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import pytest

from spillover.questions import DRIFT, answered
from spillover.questions.drift.drawing import heat_maps, similarity_chart
from spillover.questions.drift.section import drift_section
from spillover.report.figures import series_of
from spillover.report.html import html_section
from spillover.report.markdown import markdown_section
from spillover.report.page import html_page, markdown_page
from spillover.report.section import Entry, Table
from tests.report.made_results import made_results
from tests.report.page_reader import read_page

RESULTS = made_results()
ANALYSIS = answered(RESULTS, resample_count=50)
FOUND = ANALYSIS.of(DRIFT)


def table_of(label, results=RESULTS, found=FOUND):
    (table,) = (part for part in drift_section(results, found).parts if isinstance(part, Table) and part.label == label)
    titles = [column.title for column in table.columns]
    return [dict(zip(titles, row, strict=False)) for row in table.rows]


def test_drift_is_set_against_the_variant_that_differs_by_demonstrations_alone() -> None:
    plain, fticl, other = table_of("Drift")
    assert plain["against plain fine-tuning"] == other["against plain fine-tuning"] == "–"
    assert fticl["against plain fine-tuning"] == "0.86 × the mean |Δw| of sft/siqa/128/0"
    assert fticl["lowest CKA"] == f"{1 - 0.001 * 29 * 0.86:.3f}"
    assert fticl["1 − cosine"] == "6.00 × 10⁻⁵"


def test_three_variants_have_a_sentence_in_place_of_a_correlation() -> None:
    rows = table_of("Correlation of drift with lost score")
    assert "3 variants: a rank correlation needs at least 4" in {row["mean |Δw|"].text for row in rows}
    text = read_page(html_page(RESULTS, ANALYSIS)).text
    # In-domain and across tasks the variants were scored by two kinds of metric, which have no common order.
    counts = {
        "in-domain, ROUGE-L": "2",
        "in-domain, right answers": "1",
        "out-of-domain, ROUGE-L": "2",
        "out-of-domain, right answers": "1",
        "cross-task, ROUGE-L": "1",
        "cross-task, right answers": "3",
    }
    assert {row["relation"]: row["variants"] for row in rows} == counts
    assert text.count("a rank correlation needs at least 4") == len(counts)


def test_four_variants_have_a_correlation() -> None:
    first = RESULTS.variants[0]
    copy = replace(first, id="copy/siqa/128/0", name="copy", facts=RESULTS.variants[1].facts)
    scores = [replace(item, variant=copy.id) for item in RESULTS.scores if item.variant == first.id]
    relations = {(copy.id, task.name): RESULTS.relations[first.id, task.name] for task in RESULTS.tasks}
    results = replace(
        RESULTS,
        variants=(*RESULTS.variants, copy),
        scores=(*RESULTS.scores, *scores),
        relations={**RESULTS.relations, **relations},
    )
    analysis = answered(results, resample_count=50)
    rows = table_of("Correlation of drift with lost score", results, analysis.of(DRIFT))
    (row,) = (row for row in rows if not isinstance(row["mean |Δw|"], Entry))  # all four chose across tasks
    assert row["relation"].startswith("cross-task")
    values = [float(row[title].translate(str.maketrans("−±", "-0"))) for title in list(row)[2:]]
    assert len(values) == 4
    assert all(-1 <= value <= 1 for value in values)
    assert "Spearman" in markdown_page(results, analysis)


def test_layers_are_named_only_where_not_all_were_decomposed() -> None:
    assert "Ranks and directions are those of" not in html_section(drift_section(RESULTS, FOUND))
    drift = {**RESULTS.variants[0].facts["drift"], "spectrum": {"directions": 16, "layers": ["7", "15"]}}
    cards = (replace(RESULTS.variants[0], facts={"drift": drift}), *RESULTS.variants[1:])
    results = replace(RESULTS, variants=cards)
    shown = html_section(drift_section(results, DRIFT.find(results, ANALYSIS)))
    assert "Ranks and directions are those of layers 7 and 15." in shown


def test_both_pages_answer_whether_demonstrations_move_the_weights_less() -> None:
    (answer,) = FOUND.answers
    assert answer.sentence in read_page(html_page(RESULTS, ANALYSIS)).text
    assert "0.86 times as large" in markdown_page(RESULTS, ANALYSIS)


def test_tokens_that_moved_show_their_spaces_and_line_ends_in_both_pages() -> None:
    assert "·word0⏎" in read_page(html_page(RESULTS, ANALYSIS)).text
    assert "`·word0⏎` 0.2, " in markdown_page(RESULTS, ANALYSIS)


def test_a_token_of_backticks_stays_typed() -> None:
    drift = dict(RESULTS.variants[0].facts["drift"])
    drift["moved_tokens"] = [{"token_id": 7, "token": "``|", "relative_norm": 0.5}]
    found = replace(FOUND, measured={"one": drift})
    assert "their own: ``` ``| ``` 0.5." in markdown_section(drift_section(RESULTS, found))


def test_a_heading_over_a_chart_alone_is_left_out_where_no_chart_is() -> None:
    shown, written = html_section(drift_section(RESULTS, FOUND)), markdown_section(drift_section(RESULTS, FOUND))
    assert "<h3>What the model computes</h3>" in shown
    assert "What the model computes" not in written
    assert "### Where the weights moved" in written


def elements(svg: str) -> list[ElementTree.Element]:
    return list(ElementTree.fromstring(svg).iter())


def test_charts_are_plain_drawings_coloured_by_the_page() -> None:
    svgs = [similarity_chart(FOUND.measured, series_of(RESULTS)), *(item.svg for item in heat_maps(FOUND.measured))]
    for svg in svgs:
        assert {item.tag.rpartition("}")[2] for item in elements(svg)} <= {"svg", "g", "path", "line", "text", "rect"}
        colors = {item.get(kind) for item in elements(svg) for kind in ("fill", "stroke")}
        assert {color for color in colors if color and not color.startswith("var(")} <= {"none", "transparent"}
        assert not [item for item in elements(svg) if item.get("style") or item.get("href")]


def test_similarity_has_a_line_a_variant_and_heat_maps_have_one_scale() -> None:
    lines = [
        item
        for item in elements(similarity_chart(FOUND.measured, series_of(RESULTS)))
        if item.get("stroke-width") == "2"
    ]
    assert len(lines) == len(RESULTS.variants)
    panels = heat_maps(FOUND.measured)
    assert [panel.title for panel in panels] == [card.id for card in RESULTS.variants]
    largest = max(row["relative_norm"] for drift in FOUND.measured.values() for row in drift["modules"])
    assert {panel.note for panel in panels} == {f"relative norm, full colour at {largest:.2g}"}


def test_where_none_was_measured_nothing_is_said() -> None:
    bare = replace(RESULTS, variants=tuple(replace(card, facts={}) for card in RESULTS.variants))
    assert DRIFT.find(bare, ANALYSIS) is None
    assert DRIFT.summary(None) == {"drift": {}, "drift_findings": {"correlations": (), "pairs": (), "answers": ()}}


def test_the_summary_holds_what_was_measured() -> None:
    told = DRIFT.summary(FOUND)["drift"]
    assert told == {card.id: card.facts["drift"] for card in RESULTS.variants}
    assert told["sft/siqa/128/0"]["mean_absolute_difference"] == pytest.approx(4.9e-4)
