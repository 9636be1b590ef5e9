import json
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import pytest

from spillover.questions import MIXING, answered
from spillover.questions.mixing.drawing import amount_chart, retention_chart
from spillover.questions.mixing.entries import heat_entry
from spillover.records import BASE
from spillover.report.page import html_page, markdown_page
from spillover.report.write import summary_json
from spillover.statistics.contrasts import Estimate
from tests.analysis.made_scores import cell_scores, task
from tests.questions.mixing.made_mixing import MadeArm, mixed_study, right, validated, watched
from tests.report.page_reader import read_page

N = 40
BASE_SCORES = {"home": right(4, N), "far": right(20, N), "table": right(3, N)}


def arm(name, kind, home, size=8, hostile="", **facts):
    scores = {"home": right(home, N), "far": right(16, N), "table": right(5 + 9 * ("mathematics" in facts), N)}
    return MadeArm(name + hostile, kind, scores, facts, size=size)


def design(hostile=""):
    """A cocktail of one target at two sizes, and three shares of wrong facts."""
    other = f"near{hostile}"
    arms = []
    for size in (8, 32):
        more = size // 8
        arms += [
            arm("alone", "alone", 10 + 2 * more, size),
            arm("with-near", "pair", 30 + more, size, added=[other]),
            arm("all", "all", 28, size, added=[other, "third"]),
            arm("all-but-near", "all-but", 6, size, added=["third"], left_out=other),
            arm("all+mathematics", "all+mathematics", 29, size, added=[other, "third"], mathematics=["sums"]),
            arm("target+general", "target+general", 16 + more, size, general=["talk"], general_rows=size),
        ]
    arms += [
        arm(f"told-{share}", "mixture", 20 - int(10 * share), 8, general=["told"], false_share=share)
        for share in (0.0, 0.5, 1.0)
    ]
    numeric = task("table", metric="numeric_match", answers=())
    return mixed_study(BASE_SCORES, [replace(one, name=one.name + hostile) for one in arms], tasks=[numeric])


def told_in_markdown(results, analysis):
    """Return the report in Markdown without what is set in bold."""
    return markdown_page(results, analysis).replace("**", "")


RESULTS = design()
ANALYSIS = answered(RESULTS, resample_count=60)


def test_the_section_is_there_only_where_something_was_mixed():
    plain = replace(RESULTS, variants=tuple(replace(card, facts={}) for card in RESULTS.variants))
    analysis = answered(plain, resample_count=20)
    assert analysis.of(MIXING) is None
    assert "mixing" not in read_page(html_page(plain, analysis)).ids
    assert "Which data to mix in" not in told_in_markdown(plain, analysis)
    assert json.loads(summary_json(plain, analysis))["mixing"] is None


def test_the_recommendation_comes_first_and_every_part_has_its_numbers():
    page = read_page(html_page(RESULTS, ANALYSIS))
    text = page.text[page.text.index("Which data to mix in") :]
    assert ("id", "mixing") in page.attributes
    markdown = told_in_markdown(RESULTS, ANALYSIS)
    for told in (text, markdown[markdown.index("Which data to mix in") :]):
        places = [
            told.index(words)
            for words in (
                "add near: +0.48",
                "What one added task does",
                "What leaving a task out takes away",
                "The whole cocktail",
                "Every arm",
                "Mathematics and numeric tasks",
                "General data, or just more steps?",
                "What a mixture is worth in target rows",
                "General data by coverage and amount",
                "Wrong facts in training",
            )
        ]
        assert places == sorted(places)
        assert "at least 3 training seeds all gain." in told
        assert "Clearly worse: third (" in told
        assert "not reached with 32 rows" in told
        assert "base, told nothing" in told
        assert "No test of interactions: 4 arms for 4 terms" in told


def factorial():
    """General data at two amounts with controls of steps, one of them without a validation loss, and a constant arm."""
    arms = [
        validated(arm("alone", "alone", 10), 0.9),
        validated(arm("general-4", "target+general", 14, general=["talk"], general_rows=4, **rows(12)), 0.5),
        validated(arm("general-8", "target+general", 22, general=["talk"], general_rows=8, **rows(16)), 0.25),
        arm("extra-steps-8", "extra-steps", 12, general=["talk"], general_rows=8, budget="steps", **rows(16)),
        arm("all", "all", 18, added=["near"]),
    ]
    flat = [cell_scores(variant, "home", 0, [0.0] * N, "mcc") for variant in (BASE, arms[0].card.id)]
    home = replace(task("home"), majority_accuracy=10 / N)
    return mixed_study(BASE_SCORES, arms, tasks=[home], extra=flat)


def rows(total):
    return {"rows": {"home": total}}


def test_what_validation_chose_stands_beside_the_mix_fixed_beforehand_and_in_the_table_of_arms():
    results = factorial()
    analysis = answered(results, resample_count=40)
    (choice,) = analysis.of(MIXING).choices
    assert (choice.chosen.arm.name, choice.compared_count, choice.unmeasured_count) == ("general-8", 2, 1)
    page, markdown = read_page(html_page(results, analysis)).text, told_in_markdown(results, analysis)
    for told in (page, markdown):
        part = told[told.index("What validation chose") : told.index("The whole cocktail")]
        assert "8 rows of talk" in part
        assert "0.25" in part
        assert "+0.30 [" in part  # 22 less 10 of 40 on test rows
        assert "+0.20 [" in part  # of all tasks, whose validation loss is not known
        assert "2 of 3" in part
        assert "add 8 rows of talk, chosen on validation rows" in told
    assert "chosen" in page[page.index("Every arm") :]
    assert "set validation in mix" not in page
    assert "set validation in mix" in read_page(html_page(RESULTS, ANALYSIS)).text


def test_general_data_stands_beside_as_many_steps_without_it():
    results = factorial()
    few, many = answered(results, resample_count=40).of(MIXING).general
    assert (few.result.arm.general_rows, few.steps, few.result.equal_gain) == (4, None, None)
    assert many.steps.mean == pytest.approx(2 / N)
    assert many.result.equal_gain.mean == pytest.approx(10 / N)
    analysis = answered(results, resample_count=40)
    for told in (read_page(html_page(results, analysis)).text, told_in_markdown(results, analysis)):
        part = told[told.index("General data, or just more steps?") :]
        assert part.index("+0.30 [") < part.index("+0.05 [") < part.index("+0.25 [")


def test_an_arm_that_always_gives_one_answer_is_marked_and_the_base_is_named():
    results = factorial()
    analysis = answered(results, resample_count=40)
    assert [item.arm.name for item in analysis.of(MIXING).arms if item.is_constant] == ["alone"]
    assert analysis.of(MIXING).arms[0].over_base.mean == pytest.approx(6 / N)
    for told in (read_page(html_page(results, analysis)).text, told_in_markdown(results, analysis)):
        assert "always one answer" in told
        assert "The untouched base scores 0.10 [" in told
        assert "trained alone it always gives one answer, so that a gain over it is no skill by itself" in told
    assert "always one answer" not in told_in_markdown(RESULTS, ANALYSIS)


def test_what_is_kept_of_general_text_stands_beside_what_is_kept_on_tasks_and_nowhere_where_nothing_was_watched():
    arms = [
        watched(arm("alone", "alone", 10), (2.0, 0.0), (2.5, 0.25)),
        watched(arm("with-near", "pair", 30, added=["near"]), (2.0, 0.0), (1.75, 0.125), reads=True),
        arm("with-third", "pair", 11, added=["third"]),
    ]
    results = mixed_study(BASE_SCORES, arms)
    analysis = answered(results, resample_count=20)
    markdown = told_in_markdown(results, analysis)
    table = [line.strip("| ").split(" | ") for line in markdown[markdown.index("### Every arm") :].splitlines()[2:7]]
    assert len({len(row) for row in table}) == 1
    place = table[0].index("general text: loss to the base")
    assert [row[place : place + 2] for row in table] == [
        ["general text: loss to the base", "KL to the base"],
        ["---:", "---:"],
        ["+0.500", "0.250"],
        ["−0.250 not held out", "0.125"],
        ["–", "–"],
    ]
    told = read_page(html_page(results, analysis)).text
    part = told[told.index("Every arm") :]
    for words in ("general text: loss to the base", "+0.500", "−0.250", "not held out", "the recipe itself reads this"):
        assert words in part
    summarised = json.loads(summary_json(results, analysis))["mixing"]["arms"]
    assert [item["arm"]["general_text"] for item in summarised] == [
        {"loss": 2.5, "rise": 0.5, "kl_to_base": 0.25, "is_held_out": True},
        {"loss": 1.75, "rise": -0.25, "kl_to_base": 0.125, "is_held_out": False},
        None,
    ]
    for page in (read_page(html_page(RESULTS, ANALYSIS)).text, told_in_markdown(RESULTS, ANALYSIS)):
        assert "general text" not in page.casefold()[page.index("Every arm") : page.index("Mathematics and numeric")]


def test_the_summary_holds_the_unrounded_numbers_and_is_plain_json():
    told = json.loads(summary_json(RESULTS, ANALYSIS))["mixing"]
    assert told["recommendations"][0]["added"] == "near"
    assert told["matrices"][0]["entries"][0][0]["mean"] == pytest.approx(19 / N)
    assert {item["factor"] for item in told["efficiencies"]} >= {None}
    assert told["false_facts"][0]["accuracy_slope"]["mean"] == pytest.approx(-0.25)


def test_an_entry_without_an_interval_says_so_and_has_no_star():
    entry = heat_entry(Estimate(0.3, None, None, 1))
    assert (entry.small, entry.star) == (("(no interval)",), "")


@pytest.mark.parametrize(
    ("mean", "low", "high", "tint", "is_clear"),
    [(0.3, 0.2, 0.4, "up4", True), (-0.06, -0.1, 0.01, "down2", False), (0.01, -0.1, 0.1, "flat", False)],
)
def test_an_entry_of_the_heat_map_is_tinted_by_size_and_starred_where_it_is_clear(mean, low, high, tint, is_clear):
    entry = heat_entry(Estimate(mean, low, high, 1))
    assert (entry.tint, bool(entry.star)) == (tint, is_clear)


def test_the_charts_have_a_point_an_arm_and_a_line_for_those_in_several_amounts():
    retention, amount = (draw(ANALYSIS.of(MIXING).arms) for draw in (retention_chart, amount_chart))
    assert [panel.note for panel in retention.draw()] == ["8 rows", "32 rows"]
    assert {"alone", "with-near", "told-0.0"} <= {style.model for style in retention.legend}
    assert amount.legend[0].model == "home, with-near (coverage 1.0)"
    assert "home, told-0.0 (coverage 1.0)" not in {style.model for style in amount.legend}
    for chart in (retention, amount):
        for panel in chart.draw():
            tags = {element.tag.rpartition("}")[2] for element in ElementTree.fromstring(panel.svg).iter()}
            assert tags <= {"svg", "g", "path", "line", "text", "rect"}


def test_without_several_sizes_the_chart_goes_by_rows_of_general_data_and_without_both_there_is_none():
    def general(rows):
        return arm(f"general-{rows}", "target+general", 16, general=["talk"], general_rows=rows)

    alone = arm("alone", "alone", 10)
    several, one = (
        amount_chart(answered(mixed_study(BASE_SCORES, arms), resample_count=20).of(MIXING).arms)
        for arms in ([alone, general(4), general(16)], [alone, general(4)])
    )
    assert [style.model for style in several.legend] == ["home, 8 rows, additive, joint (coverage 1.0)"]
    assert one is None


def test_where_every_tested_task_was_seen_there_is_no_retention_chart_and_the_page_says_so():
    arms = [arm("alone", "alone", 10), arm("with-far", "pair", 12, added=["far", "table"])]
    results = mixed_study(BASE_SCORES, arms)
    analysis = answered(results, resample_count=20)
    assert retention_chart(analysis.of(MIXING).arms) is None
    assert "no tested task, so what is kept elsewhere was not measured" in read_page(html_page(results, analysis)).text


def test_names_from_files_are_escaped():
    hostile = "<script>alert(1)</script>"
    results = design(hostile)
    analysis = answered(results, resample_count=20)
    page = html_page(results, analysis)
    assert hostile not in page
    assert f"near{hostile}" in read_page(page).text
    assert hostile not in told_in_markdown(results, analysis)
