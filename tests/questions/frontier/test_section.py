import json
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

from spillover.questions import FRONTIER, answered
from spillover.questions.frontier.drawing import frontier_chart, styles_of
from spillover.records import RIGHT_ANSWERS, StudyResults, VariantCard
from spillover.report.page import html_page, markdown_page
from spillover.report.write import summary_json
from tests.report.made_results import made_results
from tests.report.page_reader import read_page

KINDS = made_results()
"""Texts are scored by ROUGE-L, choices by whether they are right."""
RESULTS = replace(
    KINDS, metrics={**KINDS.metrics, "rouge_l": replace(KINDS.metrics["rouge_l"], own_kind=RIGHT_ANSWERS)}
)
"""The same with one kind of metric: texts, too, are called right, in part."""


def renamed(results: StudyResults, names: dict[str, str]) -> StudyResults:
    """Give variants other names, each with an id to match."""
    ids = {card.id: f"{names.get(card.name, card.name)}/{card.id.partition('/')[2]}" for card in results.variants}

    def card(old: VariantCard) -> VariantCard:
        return replace(old, id=ids[old.id], name=names.get(old.name, old.name))

    return replace(
        results,
        variants=tuple(card(old) for old in results.variants),
        scores=tuple(replace(scores, variant=ids.get(scores.variant, scores.variant)) for scores in results.scores),
        relations={(ids[variant], task): relation for (variant, task), relation in results.relations.items()},
        flip_floors={},
    )


SWEPT = renamed(replace(RESULTS, changes=()), {"sft": "l2~rate=1", "fticl": "l2~rate=2"})
"""The two variants on siqa as two settings of one recipe."""


def shapes(svg: str) -> list[ElementTree.Element]:
    return list(ElementTree.fromstring(svg).iter())


SHARES = {"accuracy", "rouge_l"}


def test_the_section_is_there_only_where_variants_share_task_and_size():
    alone = replace(
        RESULTS,
        variants=RESULTS.variants[1:],
        scores=tuple(scores for scores in RESULTS.scores if scores.variant != RESULTS.variants[0].id),
        changes=tuple(changes for changes in RESULTS.changes if changes.variant != RESULTS.variants[0].id),
    )
    analysis = answered(alone, resample_count=50)
    assert analysis.of(FRONTIER) is None
    reader = read_page(html_page(alone, analysis))
    assert "frontier" not in reader.ids
    assert ("href", "#frontier") not in reader.attributes
    assert "Which recipe keeps the most" not in markdown_page(alone, analysis)


def test_each_kind_of_what_is_retained_has_a_frontier_of_its_own():
    analysis = answered(KINDS, resample_count=60)
    assert [(item.target_kind, item.retained_kind) for item in analysis.of(FRONTIER)] == [
        ("ROUGE-L", "ROUGE-L"),
        ("ROUGE-L", RIGHT_ANSWERS),
    ]
    page, text = read_page(html_page(KINDS, analysis)).text, markdown_page(KINDS, analysis)
    for kind in ("ROUGE-L", RIGHT_ANSWERS):
        heading = f"Trained on siqa, 128 rows: ROUGE-L gained, {kind} kept"
        assert heading in " ".join(page.split())
        assert f"### {heading}" in text
    kept = [point.retained.value for item in analysis.of(FRONTIER) for point in item.points]
    assert len(set(kept)) == len(kept)


def test_page_markdown_and_summary_hold_every_point_with_its_numbers():
    analysis = answered(RESULTS, resample_count=60)
    (frontier,) = analysis.of(FRONTIER)
    text = read_page(html_page(RESULTS, analysis)).text
    rows = [line for line in markdown_page(RESULTS, analysis).splitlines() if line.count("|") == 12]
    section = " ".join(text[text.index("Which recipe keeps the most") : text.index("Every cell")].split())
    assert "±0.00 (no interval)" not in section  # the base is no more than itself
    for point in frontier.points:
        (row,) = (line for line in rows if line.startswith(f"| {point.name} |"))
        assert f"| **{point.target.value:.2f}** [" in row
        assert f"| **{point.retained.value:.2f}** [" in row
        assert f"| **{point.harmonic.value:.2f}** [" in row
        assert row.endswith(f"| {'on it' if point.is_on_front else '–'} | {point.front_share:.0%} |")
        assert f"{point.front_share:.0%}" in text
    told = json.loads(summary_json(RESULTS, analysis))["frontiers"]
    assert [point["harmonic"]["value"] for point in told[0]["points"]] == [
        point.harmonic.value for point in frontier.points
    ]


def test_the_chart_names_who_is_on_the_front_and_joins_the_settings_of_a_recipe():
    (frontier,) = answered(SWEPT, resample_count=60).of(FRONTIER)
    assert frontier.segments == (("l2~rate=1", "l2~rate=2"),)
    elements = shapes(frontier_chart(frontier))
    assert {element.tag.rpartition("}")[2] for element in elements} <= {"svg", "g", "path", "line", "text", "rect"}
    words = {element.text for element in elements if element.text}
    assert {point.name for point in frontier.points if point.is_on_front} <= words
    assert not {point.name for point in frontier.points if not point.is_on_front} & words
    color = styles_of(frontier)[1].color
    joined = [item for item in elements if item.tag.endswith("line") and item.get("stroke") == color]
    assert len(joined) == 1
    assert [style.model for style in styles_of(frontier)] == ["base", "l2"]


def test_many_recipes_stay_distinct_by_colour_and_shape():
    (frontier,) = answered(RESULTS, resample_count=20).of(FRONTIER)
    points = tuple(replace(frontier.points[1], recipe=f"r{index}") for index in range(24))
    styles = styles_of(replace(frontier, points=(frontier.points[0], *points)))[1:]
    assert len({(style.color, style.shape) for style in styles}) == 24


def test_a_recipe_that_does_not_reach_the_score_is_said_not_to():
    sft, fticl, other = SWEPT.variants
    third = replace(sft, id="lone/siqa/128/0", name="lone", recipe={})
    lone = [
        replace(scores, variant=third.id, statistics=scores.statistics * ([0.0, 1.0] if scores.metric in SHARES else 1))
        for scores in SWEPT.scores
        if scores.variant == sft.id
    ]
    relations = {
        (third.id, task): relation for (variant, task), relation in SWEPT.relations.items() if variant == sft.id
    }
    results = replace(
        SWEPT,
        variants=(sft, fticl, third, other),
        scores=(*SWEPT.scores, *lone),
        relations={**SWEPT.relations, **relations},
    )
    analysis = answered(results, resample_count=50)
    ((comparison,),) = (frontier.matched for frontier in analysis.of(FRONTIER))
    assert comparison.at == "the score of lone"
    assert [score.retained is None for score in comparison.scores] == [True, False]
    assert "does not reach" in read_page(html_page(results, analysis)).text
    assert "| does not reach | – | 0% |" in markdown_page(results, analysis)


def test_a_second_chart_names_the_front_of_in_domain_against_out_of_domain():
    analysis = answered(SWEPT, resample_count=60)
    (frontier,) = analysis.of(FRONTIER)
    words = {element.text for element in shapes(frontier_chart(frontier, domain_only=True)) if element.text}
    named = {point.name for point in frontier.points}
    assert words & named == {point.name for point in frontier.points if point.is_on_domain_front}
    assert "change out of domain" in words
    page = read_page(html_page(SWEPT, analysis)).text
    assert page.count("on the front of in-domain and out-of-domain") == len(words & named)
    assert markdown_page(SWEPT, analysis).count("on the front of in-domain and out-of-domain") == len(words & named)


def test_only_who_is_on_the_front_has_evidence_and_a_recipe_of_several_seeds_has_it_once():
    analysis = answered(RESULTS, resample_count=60)
    (frontier,) = analysis.of(FRONTIER)
    members = {variant for point in frontier.points if point.is_on_front for variant in point.variants}
    worse = renamed(RESULTS, {})
    lost = next(card for card in RESULTS.variants if card.id in members)
    rows = tuple(
        replace(row, statistics=row.statistics * ([0.0, 1.0] if row.metric in SHARES else 1))
        if row.variant == lost.id
        else row
        for row in worse.scores
    )
    told = answered(replace(worse, scores=rows, changes=()), resample_count=60)
    lines = {verdict.variant: verdict.evidence for verdict in told.verdicts}
    assert lines[lost.id] == ()
    (point,) = (point for point in told.of(FRONTIER)[0].points if point.is_on_front and point.variants)
    (line,) = lines[point.variants[0]]
    assert f"in {point.front_share:.0%} of the resamples" in line
    twin = replace(lost, id=f"{lost.id}1", seed=lost.seed + 1)
    twins = replace(
        RESULTS,
        variants=(*RESULTS.variants, twin),
        scores=(*RESULTS.scores, *(replace(row, variant=twin.id) for row in RESULTS.scores if row.variant == lost.id)),
        relations={
            **RESULTS.relations,
            **{(twin.id, task.name): RESULTS.relations[lost.id, task.name] for task in RESULTS.tasks},
        },
    )
    (verdict,) = (item for item in answered(twins, resample_count=60).verdicts if lost.id in item.variants)
    assert verdict.variants == (lost.id, twin.id)
    assert len(verdict.evidence) == 1
