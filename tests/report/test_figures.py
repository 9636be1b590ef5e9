import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from dataclasses import replace

import pytest

from spillover.questions import answered
from spillover.records import BASE, RIGHT_ANSWERS, Relation
from spillover.report.figures import (
    MOST_LINES,
    drawn_variants,
    forgetting_panels,
    loss_chart,
    relation_panels,
    series_of,
    shots_panels,
    undrawn_words,
)
from spillover.report.html import MOST_ENTRIES, html_parts
from spillover.report.section import Entry, Panel, table
from tests.report.made_results import made_results, repeated

RESULTS = made_results()
ANALYSIS = answered(RESULTS, resample_count=200)


def elements(svg: str) -> Iterator[ElementTree.Element]:
    return ElementTree.fromstring(svg).iter()


def names(svg: str) -> set[str]:
    return {element.tag.rpartition("}")[2] for element in elements(svg)}


def test_charts_are_plain_drawings_coloured_by_the_page() -> None:
    panels = (*relation_panels(ANALYSIS), *shots_panels(RESULTS, ANALYSIS), *forgetting_panels(RESULTS))
    svgs = [loss_chart(RESULTS), *(panel.svg for panel in panels)]
    for svg in svgs:
        assert names(svg) <= {"svg", "g", "path", "line", "text", "rect", "defs", "clipPath"}
        colors = {element.get(kind) for element in elements(svg) for kind in ("fill", "stroke")}
        assert {color for color in colors if color and not color.startswith("var(")} <= {"none", "transparent"}
        assert not [element for element in elements(svg) if element.get("style") or element.get("href")]


def words(panel: Panel) -> list[str]:
    return [element.text for element in elements(panel.svg) if element.text]


def test_the_relation_panels_name_every_variant_and_relation() -> None:
    shown = {panel.title: set(words(panel)) for panel in relation_panels(ANALYSIS)}
    for item in ANALYSIS.relations:
        assert item.variant in shown[f"{item.relation}, {item.kind}"]


def test_of_many_variants_a_panel_draws_the_lowest() -> None:
    made = [item for item in ANALYSIS.relations if item.relation == Relation.CROSS_TASK][:1]
    many = tuple(replace(made[0], variant=f"v{place:02}", mean_difference=-0.01 * place) for place in range(30))
    (panel,) = relation_panels(replace(ANALYSIS, relations=many))
    assert {word for word in words(panel) if word[0] == "v"} == {f"v{place:02}" for place in range(18, 30)}


def test_every_tick_has_a_label_of_its_own_below_it() -> None:
    panels = (*relation_panels(ANALYSIS), *shots_panels(RESULTS, ANALYSIS), *forgetting_panels(RESULTS))
    for svg in [loss_chart(RESULTS), *(panel.svg for panel in panels)]:
        groups = [item for item in elements(svg) if item.get("class", "").endswith("role-axis-label")]
        ticks = [item for item in elements(svg) if item.get("class", "").endswith("role-axis-tick")]
        assert len(groups) == len(ticks) > 0
        for labels, marks in zip(groups, ticks, strict=True):
            shown = [item for item in labels.iter() if item.text and item.get("opacity") != "0"]
            assert len({item.text for item in shown}) == len(shown)
            places = [float(re.findall(r"-?[\d.]+", str(mark.get("transform")))[0]) for mark in marks]
            anchors = {item.get("text-anchor") for item in shown}
            if anchors == {"middle"}:  # of a horizontal axis
                own = [float(re.findall(r"-?[\d.]+", str(item.get("transform")))[0]) for item in shown]
                assert all(min(abs(place - label) for place in places) < 1 for label in own)
            else:
                assert anchors == {"end"}


def test_a_relation_that_a_variant_has_no_cells_of_has_no_line_for_it() -> None:
    alone = RESULTS.variants[-1].id
    relations = tuple(
        item
        for item in ANALYSIS.relations
        if item.variant != alone or (item.relation, item.kind) == (Relation.CROSS_TASK, RIGHT_ANSWERS)
    )
    shown = [word for panel in relation_panels(replace(ANALYSIS, relations=relations)) for word in words(panel)]
    assert shown.count(RESULTS.variants[0].id) == 3
    assert shown.count(alone) == 1


def test_there_is_one_shots_panel_per_task() -> None:
    panels = shots_panels(RESULTS, ANALYSIS)
    assert [panel.title for panel in panels] == [task.name for task in RESULTS.tasks]
    assert panels[0].note == "ROUGE-L"


def test_the_base_is_drawn_over_a_line_that_is_where_it_is() -> None:
    lines = [item for item in elements(shots_panels(RESULTS, ANALYSIS)[0].svg) if item.get("stroke-width") == "2"]
    colors = [color for item in lines if (color := item.get("stroke"))]
    assert len(colors) == 1 + len(RESULTS.variants)
    assert colors[-1] == series_of(RESULTS)[0].color


def test_many_variants_stay_distinct() -> None:
    cards = tuple(replace(RESULTS.variants[0], id=f"sft/siqa/128/{seed}") for seed in range(20))
    styles = series_of(replace(RESULTS, variants=cards))
    assert styles[0].model == BASE
    assert len({(style.color, style.dash) for style in styles}) == 21


def test_hostile_names_stay_text_in_a_drawing() -> None:
    results = made_results("<script>alert(1)</script>\"'\x00\x1b]]>&")
    for panel in relation_panels(answered(results, resample_count=20)):
        assert "script" not in names(panel.svg)
        assert "<script>" not in panel.svg


@pytest.mark.parametrize("step_count", [1, 500])
def test_a_loss_curve_of_any_length_is_drawn(step_count: int) -> None:
    training = {"losses": [1.0] * step_count}
    cards = tuple(replace(card, training=training) for card in RESULTS.variants)
    assert "path" in names(loss_chart(replace(RESULTS, variants=cards)))


def test_of_many_variants_charts_draw_those_that_fell_furthest_and_say_so() -> None:
    results = repeated(RESULTS, 5)
    names = [card.id for card in results.variants]
    ends = {name: -0.01 * place for place, name in enumerate(names)}
    relations = tuple(
        replace(item, variant=name, mean_difference=end, unit="share", higher_is_better=True)
        for item in ANALYSIS.relations[:1]
        for name, end in ends.items()
    )
    drawn = drawn_variants(results, replace(ANALYSIS, relations=relations))
    assert drawn == tuple(names[-MOST_LINES:])
    assert [style.model for style in series_of(results, drawn)[1:]] == list(drawn)
    assert undrawn_words(len(names)) == " Of 15 variants, only the 12 that fell furthest in some relation are drawn."
    assert undrawn_words(MOST_LINES) == ""
    assert drawn_variants(RESULTS, ANALYSIS) == tuple(card.id for card in RESULTS.variants)


def test_of_a_table_too_long_the_page_keeps_what_tells_and_says_what_it_leaves_out() -> None:
    rows = [
        ("base", "first"),
        *((f"row {place}", Entry("x", star="a star" * (place % 3 == 0))) for place in range(3000)),
    ]
    shown = str(html_parts([table("Long", ("name", "value"), rows)]))
    assert shown.count("<tr") == 1 + MOST_ENTRIES // 2
    assert shown.count("★") == 1000
    assert "first</bdi>" in shown
    assert "2,000 of 3,001 rows" in shown
    assert "rows, first those" not in str(html_parts([table("Short", ("name", "value"), rows[:1000])]))
