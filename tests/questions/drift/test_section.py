from dataclasses import replace

import pytest

from spillover.questions import DRIFT, answered
from spillover.questions.drift.rows import correlation_rows, drift_facts, drift_rows, forgetting_rows
from spillover.report.page import html_page, markdown_page
from tests.report.made_results import made_results
from tests.report.page_reader import read_page

RESULTS = made_results()
ANALYSIS = answered(RESULTS, resample_count=50)


def test_drift_is_set_against_the_variant_that_differs_by_demonstrations_alone() -> None:
    plain, fticl, other = drift_rows(RESULTS, ANALYSIS)
    assert plain.ratio_to_plain is None
    assert other.ratio_to_plain is None
    assert fticl.plain_variant == "sft/siqa/128/0"
    assert fticl.ratio_to_plain == pytest.approx(0.86)
    assert fticl.lowest_similarity == pytest.approx(1 - 0.001 * 29 * 0.86)
    assert fticl.turned == pytest.approx(6e-5)


def test_three_variants_have_a_sentence_in_place_of_a_correlation() -> None:
    rows = correlation_rows(ANALYSIS)
    assert {"3 variants: a rank correlation needs at least 4"} < {row.sentence for row in rows}
    text = read_page(html_page(RESULTS, ANALYSIS)).text
    # In-domain and across tasks the variants were scored by two kinds of metric, which have no common order.
    counts = {
        "in-domain, ROUGE-L": 2,
        "in-domain, right answers": 1,
        "out-of-domain, ROUGE-L": 2,
        "out-of-domain, right answers": 1,
        "cross-task, ROUGE-L": 1,
        "cross-task, right answers": 3,
    }
    assert {row.relation: row.variant_count for row in correlation_rows(ANALYSIS)} == counts
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
    (row,) = (
        row for row in correlation_rows(analysis) if not row.sentence
    )  # all four were asked to choose across tasks
    assert row.relation.startswith("cross-task")
    assert all(value is not None and -1 <= value <= 1 for value in row.values)
    assert "Spearman" in markdown_page(results, analysis)


def test_layers_are_named_only_where_not_all_were_decomposed() -> None:
    assert drift_facts(RESULTS)["drift_layers"] == []
    drift = {**RESULTS.variants[0].drift, "spectrum": {"directions": 16, "layers": ["7", "15"]}}
    cards = (replace(RESULTS.variants[0], facts={"drift": drift}), *RESULTS.variants[1:])
    results = replace(RESULTS, variants=cards)
    assert drift_facts(results)["drift_layers"] == ["7", "15"]
    assert "Ranks and directions are those of layers 7 and 15." in read_page(html_page(results, ANALYSIS)).text


def test_what_was_watched_is_shown_from_first_to_last() -> None:
    row = forgetting_rows(RESULTS)[0]
    assert (row.look_count, row.first_loss, row.last_loss) == (3, 3.1, pytest.approx(3.1 + 0.004 * 64))
    assert row.last_kl == pytest.approx(0.128)
    assert "Forgetting while training" in read_page(html_page(RESULTS, ANALYSIS)).text


def test_both_pages_answer_whether_demonstrations_move_the_weights_less() -> None:
    (answer,) = ANALYSIS.of(DRIFT).answers
    assert answer.sentence in read_page(html_page(RESULTS, ANALYSIS)).text
    assert "0.86 times as large" in markdown_page(RESULTS, ANALYSIS)


def test_tokens_that_moved_show_their_spaces_and_line_ends() -> None:
    assert "·word0⏎" in read_page(html_page(RESULTS, ANALYSIS)).text
