import json
import math
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from spillover.analysis.gate import (
    Check,
    Gain,
    JudgedReading,
    JudgedSubject,
    Outcome,
    Rule,
    checks,
    from_plain,
    overall,
    overview,
    plain_judged,
)
from tests.commands.called import call


def reading(low, high, *, scope="relation", relation="cross-task", kind="right answers", task="tweets", can_lose=True):
    gain = Gain((low + high) / 2, low, high) if low is not None else Gain(-0.2, None, None)
    return JudgedReading(scope, relation, kind, (task,), 100, gain, gain if can_lose else None)


def subject(*readings, name="sft/siqa/48/0", light="unclear"):
    return JudgedSubject(name, (name,), light, readings)


@pytest.fixture
def summary(tmp_path):
    def summary(*subjects, name="summary.json"):
        path = tmp_path / name
        path.write_text(json.dumps({"judged": plain_judged(subjects)}), encoding="utf-8")
        return path

    return summary


KEPT, LOST, OPEN = reading(-0.02, 0.04), reading(-0.3, -0.06), reading(-0.12, 0.04)
WITHIN = reading(-0.04, -0.01)


@pytest.mark.parametrize(
    ("found", "code", "words"),
    [
        (KEPT, 0, "a loss of 0.05 is excluded"),
        (WITHIN, 0, "lost, within the margin of 0.05"),
        (LOST, 3, "lost more than 0.05"),
        (OPEN, 4, "neither shown nor excluded"),
        (reading(-0.02, 0.04, can_lose=False), 4, "cannot lose here"),
        (reading(None, None), 4, "has no interval"),
    ],
)
def test_every_outcome_has_its_exit_code_and_its_words(summary, capsys, found, code, words):
    assert call("gate", summary(subject(found))) == code
    assert words in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(("edge", "outcome"), [(-0.0500001, Outcome.UNDECIDED), (-0.0499999, Outcome.PASS)])
def test_the_margin_is_where_a_pass_ends(edge, outcome):
    (check,) = checks([subject(reading(edge, 0.1))], Rule())
    assert check.outcome is outcome


def test_a_loss_whose_interval_touches_the_margin_is_not_failed():
    (check,) = checks([subject(reading(-0.3, -0.05))], Rule())
    assert check.outcome is Outcome.UNDECIDED


def test_what_fell_elsewhere_does_not_pass_because_the_able_cells_kept():
    found = replace(OPEN, can_lose=KEPT.all_cells)
    assert checks([subject(found)], Rule())[0].outcome is Outcome.UNDECIDED


def test_one_failure_fails_everything_and_an_untested_variant_does_not_pass(summary):
    assert call("gate", summary(subject(KEPT), subject(LOST, OPEN, name="other/siqa/48/0"))) == 3
    assert call("gate", summary(subject(KEPT, light="untested"))) == 4
    assert call("gate", summary(subject())) == 4


@pytest.mark.parametrize(("word", "code"), [("fail", 3), ("pass", 0)])
def test_undecided_counts_as_it_is_told(summary, word, code):
    assert call("gate", summary(subject(OPEN)), "--undecided", word) == code


def test_rules_by_relation_kind_and_task(summary, tmp_path):
    path = summary(subject(LOST, reading(-0.3, -0.06, scope="task")))
    assert call("gate", path, "--max-loss", "0.4") == 0
    assert call("gate", path, "--max-loss", "cross-task=0.4") == 0
    assert call("gate", path, "--max-loss", "right answers=0.4") == 0
    assert call("gate", path, "--max-loss", "0.4", "--max-loss", "tweets=0.05") == 3
    assert call("gate", path, "--max-loss", "0.4", "--max-task-loss", "0.05") == 3
    rules = tmp_path / "gate.yaml"
    rules.write_text("max_loss: 0.4\nnamed: {tweets: 0.05}\nundecided: fail\n")
    assert call("gate", path, "--rules", rules) == 3
    assert call("gate", path, "--rules", rules, "--max-loss", "tweets=0.4") == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--max-loss", "tweet=0.1"), "tweets"),
        (("--max-loss", "much"), "expected a share"),
        (("--max-loss", "1.5"), "max_loss"),
        (("--max-loss", "-0.1"), "max_loss is -0.1"),
        (("--max-task-loss", "nan"), "max_task_loss is nan"),
        (("--undecided", "maybe"), "undecided"),
        (("--variant", "stf"), "sft"),
    ],
)
def test_a_mistake_is_one_line(summary, capsys, options, words):
    assert call("gate", summary(subject(KEPT)), *options) == 2
    said = capsys.readouterr().err.strip()
    assert words in said
    assert "\n" not in said


def test_rules_of_another_shape_are_refused(summary, tmp_path, capsys):
    rules = tmp_path / "gate.yaml"
    for content, words in (("named: [1]", "named is [1]"), ("", "no mapping"), ("max_loss: -1", "max_loss is -1")):
        rules.write_text(content)
        assert call("gate", summary(subject(KEPT)), "--rules", rules) == 2
        said = capsys.readouterr().err.strip()
        assert words in said
        assert "\n" not in said


def test_nothing_that_was_judged_does_not_pass(summary, capsys):
    assert call("gate", summary()) == 2
    assert "no variant that was judged" in capsys.readouterr().err
    assert overall(()) is Outcome.UNDECIDED


@pytest.mark.parametrize("end", [math.nan, math.inf, "low"])
def test_a_number_that_is_none_is_refused(summary, end):
    gain = Gain(0.1, 0.05, end)
    assert call("gate", summary(subject(replace(KEPT, all_cells=gain, can_lose=gain)))) == 2


@pytest.mark.parametrize(
    "content", ["", "{}", "[]", "[" * 100_000, '{"judged": 3}', '{"judged": [{"name": "x"}]}', '{"verdicts": []}']
)
def test_what_is_no_summary_is_refused(tmp_path, capsys, content):
    path = tmp_path / "summary.json"
    path.write_text(content)
    assert call("gate", path) == 2
    assert "summary.json" in capsys.readouterr().err


def test_a_variant_is_chosen_by_its_short_name(summary):
    path = summary(subject(KEPT), subject(LOST, name="other/siqa/48/0"))
    assert call("gate", path, "--variant", "sft") == 0
    assert call("gate", path, "--variant", "other/siqa/48/0") == 3


def test_worse_than_the_last_release(summary):
    before = summary(subject(reading(0.08, 0.12)), name="before.json")
    now = summary(subject(reading(-0.04, 0.0)))
    assert call("gate", now) == 0
    assert call("gate", now, "--baseline", before) == 3
    assert call("gate", now, "--baseline", now) == 0


def test_a_difference_of_two_releases_adds_both_uncertainties():
    first, second = Gain(0.1, 0.04, 0.18), Gain(0.02, -0.04, 0.1)
    (check,) = checks(
        [subject(replace(KEPT, all_cells=second, can_lose=second))],
        Rule(),
        before=[subject(replace(KEPT, all_cells=first, can_lose=first))],
    )
    # -0.08 - hypot(0.06, 0.08), and -0.08 + hypot(0.08, 0.06)
    assert check.sentence.startswith("−0.08 [−0.18, 0.02]")


def test_what_the_last_release_did_not_measure_is_undecided(summary):
    assert call("gate", summary(subject(KEPT)), "--baseline", summary(subject(), name="before.json")) == 4


def test_reports_for_a_pipeline(summary, tmp_path):
    path = summary(subject(KEPT, OPEN, name="a|b<c>\u202e/siqa/48/0"), subject(LOST))
    junit, step = tmp_path / "gate.xml", tmp_path / "step.md"
    step.write_text("before\n")
    assert call("gate", path, "--junit", junit, "--markdown", step) == 3
    suite = ElementTree.parse(junit).getroot()
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("3", "1", "1")
    assert [len(case) for case in suite] == [0, 1, 1]
    text = step.read_text(encoding="utf-8")
    assert text.startswith("before\n### spillover gate: fail")
    assert "a\\|b\\<c\\>" in text
    assert "\u202e" not in text + junit.read_text(encoding="utf-8")


def test_five_lines_say_the_worst_first():
    many = [Check(f"v{index}", "cross-task", Outcome.PASS, "kept") for index in range(20)]
    lines = overview([*many, Check("bad", "tweets", Outcome.FAIL, "lost")])
    assert len(lines) == 5
    assert lines[0] == "fail: 20 pass, 1 fail"
    assert lines[1].startswith("fail: bad")
    assert len(overview(many[:4])) == 5


def test_a_summary_comes_back_as_it_was():
    kept = (subject(KEPT, LOST, reading(None, None)),)
    assert from_plain(json.loads(json.dumps(plain_judged(kept)))) == kept
