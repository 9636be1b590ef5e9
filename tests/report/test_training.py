from dataclasses import replace

from spillover.questions import answered
from spillover.report.page import html_page, markdown_page
from spillover.report.training import recipe_rows, source_rows
from tests.report.made_results import made_results
from tests.report.page_reader import read_page

SPIDER = {
    "trained_share": 0.75,
    "touched_share": 0.3125,
    "extra_memory_bytes": 3 * 2**20,
    "extra_seconds": 12.34,
    "moving_shares": [0.4, 0.52],
    "free_shares": [0.1, 0.22],
    "mask_churn": [0.0, 0.031],
    "distance": 0.1234,
    "mean_strength_minus_importance": {"0": -0.01, "1": 0.02},
}
MIXED = {
    "rows": {"amazon": 16, "general": 8},
    "repeated_rows": {"amazon": 0, "general": 3},
    "target_tokens": {"amazon": 32, "general": 96},
    "row_shares": {"amazon": 2 / 3, "general": 1 / 3},
    "token_shares": {"amazon": 0.25, "general": 0.75},
    "dropped": {"amazon": {}, "general": {"equals a test row or demonstration of amazon": 4}},
    "stages": [["general"], ["amazon"]],
}
MADE = made_results()
FIRST, *REST = MADE.variants
RESULTS = replace(
    MADE, variants=(replace(FIRST, training={**FIRST.training, "recipe_report": SPIDER}, mixture=MIXED), *REST)
)
FOUND = answered(MADE, resample_count=50)
ANALYSIS = replace(FOUND, findings={name: found for name, found in FOUND.findings.items() if name != "mixing"})


def test_a_recipe_tells_what_it_touched_and_cost():
    (row,) = recipe_rows(RESULTS)
    assert (row.variant, row.trained_share, row.touched_share) == (FIRST.id, 0.75, 0.3125)
    assert (row.extra_mebibytes, row.extra_seconds) == (3.0, 12.34)
    assert row.facts == (
        "mask above 0 in 52% and 1 in 22% of the trained weights; 3.1% changed sides in the last step; ‖w − w0‖ 0.123"
    )
    assert row.by_layer == "0 −0.01, 1 +0.02"


def test_a_budget_that_stopped_and_replayed_rows_are_said():
    plain = {name: SPIDER[name] for name in ("trained_share", "touched_share", "extra_memory_bytes", "extra_seconds")}
    said = []
    for facts in (
        {"general_loss_rises": [0.02, 0.12], "stopped_early": True},
        {"replayed_row_count": 1200, "left_out_row_count": 3},
    ):
        card = replace(FIRST, training={"recipe_report": {**plain, **facts}})
        said += [row.facts for row in recipe_rows(replace(MADE, variants=(card,)))]
    assert said == [
        "loss on general text +0.12 nats a token to the base's at the last look, then stopped and went back to the "
        "look before",
        "1,200 rows replayed, 3 left out",
    ]


def test_what_a_mixture_took_is_told_source_by_source():
    first, second = source_rows(RESULTS)
    assert (first.source, first.stage, first.row_count, first.row_share, first.token_share) == (
        *("amazon", 2, 16, 2 / 3, 0.25),
    )
    assert (second.source, second.stage, second.repeated_count, second.target_token_count) == ("general", 1, 3, 96)


def test_both_are_on_the_page_and_in_markdown_and_nowhere_without_them():
    page, text = read_page(html_page(RESULTS, ANALYSIS)).text, markdown_page(RESULTS, ANALYSIS)
    for shown in (page, text):
        assert "What each recipe touched and cost" in shown
        assert "31.25%" in shown
        assert "What each mixture took of its sources" in shown
        assert "4 equals a test row or demonstration of amazon" in shown
        assert "67%" in shown
    bare = html_page(MADE, ANALYSIS) + markdown_page(MADE, ANALYSIS)
    assert "What each" not in bare


def test_what_was_watched_is_shown_from_first_to_last() -> None:
    analysis = answered(MADE, resample_count=20)
    for page in (html_page(MADE, analysis), markdown_page(MADE, analysis)):
        assert "Forgetting while training" in page
    row = f"| {FIRST.id} | 3 | 3.10 | {3.1 + 0.004 * 64:.2f} | 0.1280 |"
    assert row in markdown_page(MADE, analysis)
