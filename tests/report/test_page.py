import base64
import hashlib
import re
from collections import Counter
from dataclasses import replace
from typing import get_args

import numpy as np
import pytest

from spillover.analysis.verdict import Light
from spillover.analysis.wording import interval_words, signed
from spillover.questions import CALIBRATION, CLAIMS, GENERALIZATION, answered
from spillover.records import BASE
from spillover.report.explorer import explorer
from spillover.report.latex import latex_tables
from spillover.report.page import html_page, markdown_page
from spillover.report.section import Chart, Details, Lights, Part, Table
from spillover.report.section import Text as TextPart
from spillover.report.sections import report_sections
from spillover.report.text import LIGHT_SYMBOLS, markdown, text_summary
from tests.report.made_results import made_results, repeated
from tests.report.page_reader import read_page
from tests.statistics.test_seeds import study_of

RESULTS = made_results()
ANALYSIS = answered(RESULTS, resample_count=200)
PAGE = html_page(RESULTS, ANALYSIS)
READER = read_page(PAGE)
SECTIONS = re.findall(r'<section id="(\w+)"', PAGE)

HOSTILE = (
    "<script>alert(1)</script>\"'</style></title><img src=x onerror=alert(2)>\u202e عربى 😀\n|`\ud800\x00"
    + "x" * 10_000
)


def test_the_page_has_its_sections_in_order() -> None:
    wanted = (
        "verdicts relations frontier matrix worse more shots best gains choices calibration losses labels items claims "
        "drift training protocol skipped provenance"
    )
    assert " ".join(SECTIONS) == wanted


def test_the_first_layer_is_linked_and_the_rest_is_folded_with_a_line_each() -> None:
    links = {value for name, value in READER.attributes if name == "href"}
    first, _, folded = " ".join(SECTIONS).partition("more")
    assert links == {f"#{section}" for section in [*first.split(), "more"]} | {"data:,"}
    folds = re.findall(
        r'<details class="fold"><summary><h2>.*?</h2> <span>(.+?)</span></summary>\n<section id="(\w+)"', PAGE
    )
    assert [found for _, found in folds] == folded.split()


def test_the_first_layer_is_read_in_a_minute_or_two() -> None:
    words = [word for word in READER.first_layer.split() if re.search(r"[^\W\d]", word)]  # numbers are no words
    assert 300 < len(words) <= 700, len(words)


@pytest.mark.parametrize("kept", ["all", "choices", "text", "one variant", "nothing else"])
def test_no_section_is_empty(kept: str) -> None:
    results = RESULTS
    if kept in ("choices", "text"):
        tasks = tuple(task for task in RESULTS.tasks if bool(task.answers) == (kept == "choices"))
        names = {task.name for task in tasks}
        scores = tuple(row for row in RESULTS.scores if row.cell.tested_on in names)
        results = replace(RESULTS, tasks=tasks, scores=scores, flip_floors={}, changes=(), prompts=())
    if kept == "one variant":
        results = replace(RESULTS, variants=RESULTS.variants[:1])
        results = replace(
            results, scores=tuple(row for row in RESULTS.scores if row.variant in (BASE, results.variants[0].id))
        )
    if kept == "nothing else":
        cards = tuple(replace(card, facts={}, training={}) for card in RESULTS.variants)
        results = replace(RESULTS, variants=cards, prompts=(), skipped=(), provenance={}, changes=())
    for section in report_sections(results, answered(results, resample_count=20)):
        assert any(map(holds_something, section.parts)), section.id
        assert all(part.parts for part in section.parts if isinstance(part, Details)), section.id
        assert section.is_open != bool(section.summary), section.id


def holds_something(part: Part) -> bool:
    if isinstance(part, Table):
        return bool(part.rows)
    return isinstance(part, Chart | Lights) or (isinstance(part, TextPart) and part.kind in ("point", "block"))


def test_a_page_of_500_cells_is_small_grouped_and_searchable() -> None:
    results = repeated(RESULTS, 17)
    analysis = answered(results, resample_count=5)
    assert len(results.variants) * len(RESULTS.tasks) * 2 > 500
    page = html_page(results, analysis)
    assert len(page.encode()) < 5_000_000
    regions = re.findall(r'<div class="searched">.*?aria-label="([^"]+)"', page, flags=re.S)
    assert regions[0] == "Verdicts by light"
    assert any(label.startswith("Differences to the base of variants trained on siqa") for label in regions)
    groups = re.findall(r'<h3 class="(\w+)"><span class="light">. \w+</span>: (\d+) of (\d+)</h3>', page)
    lights = Counter(item.light for item in analysis.verdicts)
    assert groups == [(light, str(lights[light]), str(lights.total())) for light in LIGHT_SYMBOLS if lights[light]]


def test_the_page_needs_nothing_else_and_runs_its_own_script_alone() -> None:
    assert re.findall(r"<script[^>]*>", PAGE) == ['<script type="application/json" id="item-data">', "<script>"]
    assert not READER.tags & {"iframe", "object", "img", "foreignobject", "form"}
    assert not [name for name, _ in READER.attributes if name.startswith("on") or name in ("style", "src")]
    assert "://" not in re.sub(r"http://www\.w3\.org/(2000/svg|1999/xlink)", "", PAGE)
    assert len(PAGE.encode()) < 5_000_000


def test_the_policy_allows_this_style_and_this_script_alone() -> None:
    digests = [
        base64.b64encode(hashlib.sha256(PAGE.split(f"<{tag}>")[1].split(f"</{tag}>")[0].encode()).digest()).decode()
        for tag in ("style", "script")
    ]
    (policy,) = (value for name, value in READER.attributes if name == "content" and "default-src" in value)
    assert "default-src 'none'" in policy
    assert f"style-src 'sha256-{digests[0]}';" in policy
    assert f"script-src 'sha256-{digests[1]}';" in policy
    assert "unsafe" not in policy


def test_each_verdict_shows_its_light_as_a_word_and_a_symbol() -> None:
    for verdict in ANALYSIS.verdicts:
        assert verdict.reading in READER.text
        assert all(number in READER.text for number in verdict.numbers)
        assert verdict.light in READER.text
        for end in (verdict.worst, verdict.largest_loss, verdict.settle):
            assert f"{end[:1].upper()}{end[1:]}" in READER.text
    assert ANALYSIS.verdicts[0].rule in READER.text
    assert "".join(ANALYSIS.verdicts[0].rule.split()) in "".join(markdown_page(RESULTS, ANALYSIS).split())


@pytest.mark.parametrize("light", get_args(Light))
def test_every_light_is_shown_as_a_word_and_a_symbol_everywhere(light: Light) -> None:
    changed = replace(ANALYSIS, verdicts=(replace(ANALYSIS.verdicts[0], light=light),))
    symbol = LIGHT_SYMBOLS[light]
    text = read_page(html_page(RESULTS, changed)).text
    assert f"{symbol} {light} sft/siqa/128/0" in " ".join(text.split())
    assert f"- {symbol} **{light}**: sft/siqa/128/0: " in markdown_page(RESULTS, changed)
    assert f"  {symbol} {light:<8} sft/siqa/128/0: " in text_summary(RESULTS, changed).plain
    assert len(set(LIGHT_SYMBOLS.values())) == len(get_args(Light))


def test_a_long_verdict_is_whole_everywhere() -> None:
    reading = "; ".join(f"loses task number {index} of many" for index in range(30))
    verdict = replace(ANALYSIS.verdicts[0], reading=reading, sentence=f"sft: {reading}.")
    changed = replace(ANALYSIS, verdicts=(verdict,))
    for shown in (
        read_page(html_page(RESULTS, changed)).text,
        markdown_page(RESULTS, changed),
        text_summary(RESULTS, changed).plain,
    ):
        assert reading in shown


def test_what_does_not_hold_after_adjustment_is_marked_in_every_table() -> None:
    marked = [item for item in ANALYSIS.relations if item.reading == "no clear change (not after adjustment)"]
    assert marked
    shown = read_page(html_page(RESULTS, ANALYSIS)).text
    tables = (shown, markdown_page(RESULTS, ANALYSIS), latex_tables(RESULTS, ANALYSIS))
    assert [text.count("no clear change (not after adjustment)") for text in tables] == [len(marked)] * 3


def test_every_difference_of_a_primary_metric_is_on_the_page() -> None:
    titles = [value for name, value in READER.attributes if name == "title" and "of the base on" in value]
    assert len(titles) == 3 * 5 * 2 + 5 * 2  # and of the base


def test_prompts_show_line_ends_tabs_and_token_ids() -> None:
    assert "lantern and⇥two··maps before the walk.⏎\n### Answer:⏎\n" in READER.text
    assert "100 101 102 103 ┃ 104 105" in READER.text
    assert "entailment" in READER.text


def test_the_reliability_of_every_model_is_drawn_with_its_numbers() -> None:
    labels = [value for name, value in READER.attributes if name == "aria-label" and "Accuracy by confidence" in value]
    assert len(labels) == 1 + len(RESULTS.variants)
    table = PAGE.split('id="calibration"')[1].split("</section>")[0]
    bins = [found for item in ANALYSIS.of(CALIBRATION) for found in item.bins]
    assert table.count('<th scope="row">') == len(bins)
    assert f'<td class="n">{bins[0].item_count}</td></tr>' in table


def test_without_the_script_the_page_holds_the_first_regressions() -> None:
    examples = PAGE.split('<div id="examples">')[1].split("</ol>")[0]
    assert examples.count("<details>") == 3 * len(RESULTS.variants)
    assert "<h4>reference</h4>" in examples


def test_items_that_need_no_script_are_few_however_many_variants_there_are() -> None:
    cards = [replace(RESULTS.variants[0], id=f"v{index}") for index in range(10)]
    changes = [replace(row, variant=card.id) for card in cards for row in RESULTS.changes if row.regressions]
    found = explorer(replace(RESULTS, variants=tuple(cards), changes=tuple(changes)))
    assert found is not None
    assert Counter(row.variant for row, _ in found.examples) == dict.fromkeys((card.id for card in cards), 2)


def test_a_study_of_one_shot_count_has_no_curves() -> None:
    scores = tuple(scores for scores in RESULTS.scores if scores.cell.shots == 0)
    results = replace(RESULTS, scores=scores, changes=())
    page = html_page(results, answered(results, resample_count=20))
    assert not {"shots", "best", "gains"} & set(read_page(page).ids)
    assert "The dotted line is" not in page


def test_a_study_whose_items_are_not_at_hand_has_no_explorer() -> None:
    reader = read_page(html_page(replace(RESULTS, changes=()), ANALYSIS))
    assert not {"items", "item-data"} & set(reader.ids)
    assert ("href", "#items") not in reader.attributes


def test_the_best_over_shots_are_called_optimistic() -> None:
    assert "optimistic" in READER.text
    assert "optimistic" in markdown_page(RESULTS, ANALYSIS)


def test_a_study_without_drift_losses_prompts_or_free_text_still_has_a_page() -> None:
    tasks = tuple(task for task in RESULTS.tasks if task.answers)
    names = {task.name for task in tasks}
    bare = replace(
        RESULTS,
        tasks=tasks,
        variants=tuple(replace(card, facts={}, training={}) for card in RESULTS.variants),
        scores=tuple(scores for scores in RESULTS.scores if scores.cell.tested_on in names and scores.cell.shots == 0),
        prompts=(),
        skipped=(),
        provenance={},
        changes=(),
    )
    analysis = answered(bare, resample_count=50)
    page = html_page(bare, analysis)
    wanted = "verdicts relations matrix more choices calibration losses training protocol provenance"
    assert re.findall(r'<section id="(\w+)"', page) == wanted.split()
    assert re.findall(r'<a href="#(\w+)">', page) == wanted.split()[:4]
    assert "## Skipped" not in markdown_page(bare, analysis)


def test_a_study_of_text_alone_has_nothing_of_choices() -> None:
    tasks = tuple(task for task in RESULTS.tasks if not task.answers)
    names = {task.name for task in tasks}
    scores = tuple(scores for scores in RESULTS.scores if scores.cell.tested_on in names)
    bare = replace(RESULTS, tasks=tasks, scores=scores, flip_floors={}, changes=(), prompts=())
    ids = read_page(html_page(bare, answered(bare, resample_count=50))).ids
    assert not {"choices", "calibration", "losses"} & set(ids)
    assert "labels" in ids


def test_hovering_a_cell_shows_its_flip_floor_where_one_was_measured() -> None:
    titles = [value for name, value in READER.attributes if name == "title" and "of the base on" in value]
    measured = [
        title
        for title in titles
        if title.endswith("; flip floor 1 of 4 items, log-likelihoods at most 3.2e-06 nats off")
    ]
    assert len(measured) == 3 * 5


def test_the_protocol_adds_up_the_flip_floors_of_a_task() -> None:
    for text in (READER.text, markdown_page(RESULTS, ANALYSIS)):
        assert text.count("3 of 16") == 5
        assert "3.20 × 10⁻⁶" in text


def test_every_lost_cell_and_every_gain_has_its_row() -> None:
    assert ANALYSIS.of(GENERALIZATION).accuracy_drops
    page = markdown_page(RESULTS, ANALYSIS)
    for heading, rows in (
        ("## Where accuracy was lost", ANALYSIS.of(GENERALIZATION).accuracy_drops),
        ("## What demonstrations add", ANALYSIS.of(GENERALIZATION).in_context_gains),
    ):
        block = page.split(heading)[1].split("\n## ")[0]
        assert len([line for line in block.splitlines() if line.startswith("| sft") or line.startswith("| fticl")]) == (
            len(rows)
        )


def test_hostile_text_stays_text() -> None:
    results = made_results(HOSTILE)
    page = html_page(results, answered(results, resample_count=50))
    reader = read_page(page.encode("utf-8", "backslashreplace").decode())
    assert reader.tags == READER.tags
    assert not [name for name, _ in reader.attributes if name.startswith("on")]
    assert "<script>alert(1)</script>" in reader.text
    assert "\u202e" not in page
    assert "‹U+202E right-to-left override›" in reader.text
    assert len(page.encode("utf-8", "backslashreplace")) < 5_000_000


def test_hostile_text_does_not_break_the_markdown_tables() -> None:
    results = made_results("|<b>`*_\n# x [a](javascript:b)")
    lines = markdown_page(results, answered(results, resample_count=50)).splitlines()
    relation_rows = [line for line in lines if "| in-domain |" in line]
    assert len(relation_rows) >= 3
    assert "\\|\\<b\\>\\`\\*\\_ # x [a\\](javascript:b)" in relation_rows[0]


PAPER = next(claim.paper[0] for claim in ANALYSIS.of(CLAIMS) if claim.number == 3)
"""The paper's own figures beside a claim."""


@pytest.mark.parametrize("line", ["## Verdicts", "## Every cell", "## What got worse, for example", "## Provenance"])
def test_the_markdown_has_the_pages_parts(line: str) -> None:
    assert line in markdown_page(RESULTS, ANALYSIS).splitlines()


def test_the_markdown_has_the_papers_own_figures_beside_its_claims() -> None:
    assert markdown(f"Paper: {PAPER}") in markdown_page(RESULTS, ANALYSIS)


def test_studies_of_other_suites_have_nothing_of_the_papers_claims() -> None:
    results = replace(RESULTS, provenance={**RESULTS.provenance, "suite": "finance"})
    analysis = answered(results, resample_count=50)
    page = html_page(results, analysis)
    assert 'id="claims"' in PAGE
    assert "claims" not in re.findall(r'id="(\w+)"', page) + re.findall(r'href="#(\w+)"', page)
    assert "2403.09162" not in page + markdown_page(results, analysis)


def test_a_claims_interval_says_what_it_holds_for() -> None:
    (claim,) = (claim for claim in ANALYSIS.of(CLAIMS) if claim.number == 1)
    cells = re.search(r'<table class="claims">.*?</tbody>', PAGE, flags=re.S)
    assert cells
    for part in claim.parts:
        assert part.holds_for == ("items" if part.estimate else "")
        assert not part.kind or f"{part.statement} ({part.kind})".replace("'", "&#39;") in cells[0]
    assert "<bdi>items</bdi>" in cells[0]


def test_markdown_tables_have_rows_of_one_width() -> None:
    blocks = re.split(r"\n(?!\|)", markdown_page(RESULTS, ANALYSIS))
    tables = [[line for line in block.splitlines() if line.startswith("|")] for block in blocks]
    widths = [{len(re.findall(r"(?<!\\)\|", line)) for line in table} for table in tables if table]
    assert widths
    assert all(len(width) == 1 for width in widths)


def test_a_recipe_trained_with_several_seeds_has_a_row_over_seeds() -> None:
    results = study_of(np.random.default_rng(0).normal(0.1, 0.05, (3, 1, 40)))
    analysis = answered(results, resample_count=200)
    (row,) = analysis.recipes
    shown = read_page(html_page(results, analysis)).text
    assert "deviation of seeds" in shown
    cells = f"sft home 8 in-domain accuracy 3 1 {signed(row.mean_difference)} {interval_words(row.low, row.high)}"
    assert "".join(cells.split()) in "".join(shown.split())
    assert f"| sft | home | 8 | in-domain | accuracy | 3 | 1 | **{signed(row.mean_difference)}** |" in markdown_page(
        results, analysis
    )
