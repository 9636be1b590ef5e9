import json

import numpy as np
import pytest

from spillover.evaluation.harness.samples import read_runs
from spillover.questions import answered
from tests.commands.called import call
from tests.evaluation.harness.test_samples import chosen, sample, write_run

OPTIONS = ("red", "blue", "green", "grey")


def mixed(count, share, seed=0):
    """Which of ``count`` items are right: exactly ``share`` of them."""
    right = np.arange(count) < round(share * count)
    return np.random.default_rng(seed).permutation(right)


def rows(task, right, *, constant=None):
    """Choices of one of `OPTIONS`, the targets evenly spread; a ``constant`` model always takes that place."""
    made = []
    for index, is_right in enumerate(right):
        target = index % len(OPTIONS)
        picked = constant if constant is not None else target if is_right else (target + 1) % len(OPTIONS)
        made.append(chosen(f"{task} {index}", OPTIONS, picked, target=str(target), acc=float(picked == target)))
    return made


def flipped(right, *, lost=0, gained=0):
    """Make the first ``lost`` right items wrong and the first ``gained`` wrong ones right."""
    own = right.copy()
    own[np.flatnonzero(right)[:lost]] = False
    own[np.flatnonzero(~right)[:gained]] = True
    return own


def folders(path, base, variant):
    return write_run(path / "base", base), write_run(path / "tuned", variant)


@pytest.fixture
def imported(tmp_path, capsys):
    """Import a base and a variant as the command line does, and return its one verdict."""

    def imported(base, variant, *trained_on):
        found = folders(tmp_path, base, variant)
        options = [part for task in trained_on for part in ("--trained-on", task)]
        report = tmp_path / "report"
        assert call("import", "lm-eval", *found, *options, "--report", report, "--json") == 0
        summary = json.loads(capsys.readouterr().out)
        (verdict,) = summary["verdicts"]
        for page in ("index.html", "report.md"):
            assert verdict["light"] in (report / page).read_text(encoding="utf-8")
        return verdict

    return imported


def test_a_test_that_both_fail_entirely_shows_nothing(imported):
    home = mixed(300, 0.5)
    nothing = {"far": rows("far", np.zeros(300, dtype=bool))}
    base = {"home": rows("home", home), **nothing}
    verdict = imported(base, {"home": rows("home", flipped(home, gained=100)), **nothing}, "home")
    assert verdict["light"] == "untested"
    assert verdict["cannot_lose"] == ["far"]
    assert "gains its task, can show nothing across tasks" in verdict["sentence"]
    assert (
        "far cannot lose here: the base is not shown to do better there than by knowing nothing" in verdict["sentence"]
    )
    assert "add tests that the base can do better than by chance" in verdict["sentence"]


def test_a_gain_does_not_hide_a_loss_in_the_same_mean(imported):
    up, down = mixed(250, 0.4), mixed(250, 0.8, seed=1)
    variant = {"up": rows("up", flipped(up, gained=100)), "down": rows("down", flipped(down, lost=75))}
    verdict = imported({"up": rows("up", up), "down": rows("down", down)}, variant)
    assert verdict["light"] == "mixed"
    assert "loses down −0.30" in verdict["sentence"]
    assert verdict["worst"].startswith("worst task down −0.30 [")
    assert verdict["worst"].endswith("on 250 items")


def test_the_trained_task_alone_says_nothing_of_others(imported):
    home = mixed(400, 0.5)
    verdict = imported({"home": rows("home", home)}, {"home": rows("home", home)}, "home")
    assert verdict["light"] == "untested"
    assert "add tests other than its own task: other data of its kind, and other tasks" in verdict["sentence"]


@pytest.mark.parametrize("world", range(24))
def test_a_dozen_items_beside_a_thousand_are_never_enough(tmp_path, world):
    few = mixed(12, 0.75)
    lost = flipped(few, lost=int(np.random.default_rng(world).binomial(12, 0.06)))
    many = rows("many", mixed(1000, 0.75))
    found = folders(tmp_path, {"few": rows("few", few), "many": many}, {"few": rows("few", lost), "many": many})
    results = read_runs(list(found), base=found[0], trained_on=(), command="x")
    (verdict,) = answered(results, resample_count=50).verdicts
    assert verdict.light == "unclear"
    assert "more items of few would settle it" in verdict.settle


def test_one_fallen_task_is_named_among_eight_excellent_ones(imported):
    relation = {f"good {index}": mixed(400, 0.9, seed=index) for index in range(8)}
    bad = mixed(400, 0.8)
    good = {name: rows(name, right) for name, right in relation.items()}
    better = {name: rows(name, flipped(right, gained=20)) for name, right in relation.items()}
    base = {"home": rows("home", bad), **good, "bad": rows("bad", bad)}
    variant = {"home": rows("home", bad), **better, "bad": rows("bad", flipped(bad, lost=80))}
    verdict = imported(base, variant, "home")
    assert verdict["light"] in ("loses", "mixed")
    assert "loses bad −0.20" in verdict["sentence"]


def test_a_model_that_answers_by_chance_loses(imported):
    tasks = {name: mixed(300, 0.8, seed=index) for index, name in enumerate(("home", "near", "far"))}
    chance = {name: rows(name, np.random.default_rng(index).random(300) < 0.25) for index, name in enumerate(tasks)}
    verdict = imported({name: rows(name, right) for name, right in tasks.items()}, chance, "home")
    assert verdict["light"] == "loses"
    assert "loses its task, loses across tasks" in verdict["sentence"]


def test_a_model_that_gives_one_answer_to_everything_loses_and_is_said_to(imported):
    tasks = {name: mixed(300, 0.8, seed=index) for index, name in enumerate(("home", "near", "far"))}
    base = {name: rows(name, right) for name, right in tasks.items()}
    constant = {name: rows(name, right, constant=2) for name, right in tasks.items()}
    verdict = imported(base, constant, "home")
    assert verdict["light"] == "loses"
    assert "answers 'green' to 100% of " in verdict["sentence"]


def test_what_keeps_is_said_to_where_every_test_could_have_shown_a_loss(imported):
    home, tasks = mixed(400, 0.5), {name: mixed(1000, 0.75, seed=len(name)) for name in ("near", "far")}
    same = {name: rows(name, right) for name, right in tasks.items()}
    verdict = imported(
        {"home": rows("home", home), **same}, {"home": rows("home", flipped(home, gained=60)), **same}, "home"
    )
    assert verdict["light"] == "keeps"
    assert "gains its task, has lost nothing across tasks (within 0.02)" in verdict["sentence"]


def test_where_any_task_may_be_its_own_a_gain_does_not_stand_for_the_others(imported):
    # +0.2 on one of two tasks outweighs a loss of up to 0.1 of the other, whose 30 items exclude nothing smaller.
    gained, other = mixed(1000, 0.5), mixed(30, 0.9)
    base = {"gained": rows("gained", gained), "other": rows("other", other)}
    verdict = imported(base, {**base, "gained": rows("gained", flipped(gained, gained=200))})
    assert verdict["light"] == "unclear"
    assert "more items of other would settle it" in verdict["settle"]


@pytest.mark.parametrize(
    ("name", "before", "after", "unit"),
    [
        ("grade", lambda draw: draw.integers(5, 10), lambda draw, old: old - draw.integers(1, 5), "grade"),
        (
            "word_perplexity",
            lambda draw: [-draw.uniform(20, 40), 10],
            lambda draw, old: [old[0] - draw.uniform(5, 15), 10],
            "perplexity",
        ),
        ("bleu", lambda draw: draw.uniform(30, 60), lambda draw, old: old - draw.uniform(10, 30), "points"),
        ("mcc", lambda draw: draw.uniform(-0.1, 1), lambda draw, old: old - draw.uniform(0.3, 0.7), "correlation"),
    ],
)
def test_a_metric_that_is_no_share_has_a_verdict_in_its_own_unit(tmp_path, capsys, name, before, after, unit):
    draw = np.random.default_rng(0)
    old = [before(draw) for _ in range(80)]
    plain = [value if isinstance(value, list) else float(value) for value in old]
    base = {"far": [sample(str(index), **{name: value}) for index, value in enumerate(plain)]}
    new = [after(draw, value) for value in plain]
    new = [value if isinstance(value, list) else float(value) for value in new]
    variant = {"far": [sample(str(index), **{name: value}) for index, value in enumerate(new)]}
    home = {"home": rows("home", mixed(80, 0.5))}
    found = folders(tmp_path, base | home, variant | home)
    assert call("import", "lm-eval", *found, "--trained-on", "home", "--report", tmp_path / "r", "--json") == 0
    summary = json.loads(capsys.readouterr().out)
    row = next(row for row in summary["relations"] if row["relation"] == "cross-task")
    assert (row["unit"], row["kind"]) == (unit, name)
    (verdict,) = summary["verdicts"]
    assert verdict["light"] == "loses"
    assert f" {name}" in verdict["sentence"]
    assert f"worst task far {'+' if name == 'word_perplexity' else '−'}" in verdict["sentence"]


def test_one_item_in_common_is_one_clear_sentence(tmp_path, capsys):
    found = folders(
        tmp_path,
        {"t": [sample("a", acc=1.0), sample("b", acc=1.0)]},
        {"t": [sample("b", acc=0.0), sample("c", acc=0.0)]},
    )
    assert call("import", "lm-eval", *found, "--report", tmp_path / "report") == 2
    said = capsys.readouterr().err
    assert "the runs were joined on 1 item of 3, and one item has no interval" in said
    assert "Traceback" not in said
    assert not (tmp_path / "report").exists()


def test_a_single_item_of_inspect_is_one_clear_sentence(tmp_path, capsys):
    logs = []
    for model, grade in (("x/base", "C"), ("x/tuned", "I")):
        question = {"role": "user", "content": "q"}
        row = {
            "id": 1,
            "epoch": 1,
            "input": "q",
            "target": "a",
            "messages": [question],
            "scores": {"match": {"value": grade}},
        }
        spec = {"task": "t", "model": model, "created": "2026-01-01", "model_args": {}, "task_args": {}}
        logs.append(tmp_path / f"{grade}.json")
        logs[-1].write_text(json.dumps({"version": 2, "status": "success", "eval": spec, "samples": [row]}))
    assert call("import", "inspect", *logs, "--report", tmp_path / "report") == 2
    assert "one item has no interval" in capsys.readouterr().err


def test_a_dozen_variants_of_which_none_differs_are_none_said_to(tmp_path, capsys):
    draw = np.random.default_rng(0)
    easy = {name: draw.beta(3, 1.5, 250) for name in ("home", "near", "far")}

    def run(name):
        return write_run(tmp_path / name, {task: rows(task, draw.random(250) < share) for task, share in easy.items()})

    found = [run(name) for name in ("base", *(f"v{index}" for index in range(12)))]
    options = ("--trained-on", "home", "--report", tmp_path / "report", "--json")
    assert call("import", "lm-eval", *found, *options) == 0
    summary = json.loads(capsys.readouterr().out)
    assert [verdict["light"] for verdict in summary["verdicts"]] == ["unclear"] * 12
    assert {row["change"] for row in summary["relations"]} == {"no clear change"}
    assert all("more items of" in verdict["settle"] for verdict in summary["verdicts"])


def test_tasks_of_too_few_items_that_fall_to_nothing_are_not_kept(imported):
    """Nine items have no interval: what they lost stays open, and nothing of it is said to be kept."""
    home, far, right = mixed(300, 0.5), mixed(400, 0.9), np.ones(9, dtype=bool)
    base = {"home": rows("home", home), "far": rows("far", far), **{f"s{n}": rows(f"s{n}", right) for n in range(3)}}
    verdict = imported(base, {**base, **{f"s{n}": rows(f"s{n}", ~right) for n in range(3)}}, "home")
    assert verdict["light"] == "unclear"
    assert "lost nothing across tasks" not in verdict["sentence"]
    assert "cannot lose" not in verdict["sentence"]
    assert " −1.00 (no interval) on 9 items" in verdict["worst"]
    assert verdict["settle"].endswith("have too few items, or too few that changed, for an interval: test on more")


def test_an_interval_below_zero_is_not_kept_though_adjustment_forgives_it(imported):
    home, far, few = mixed(300, 0.5), mixed(400, 0.9), mixed(12, 0.5)
    base = {"home": rows("home", home), "far": rows("far", far), "few": rows("few", few)}
    verdict = imported(base, {**base, "few": rows("few", np.zeros(12, dtype=bool))}, "home")
    assert verdict["light"] == "unclear"
    assert "(not after adjustment)" in verdict["sentence"]
    assert "lost nothing across tasks" not in verdict["sentence"]


def test_a_rise_to_what_guessing_scores_is_no_gain_of_a_mean(imported):
    home, far, low = mixed(300, 0.5), mixed(300, 0.8), mixed(300, 0.05)
    base = {"home": rows("home", home), "far": rows("far", far), "low": rows("low", low)}
    verdict = imported(base, {**base, "low": rows("low", flipped(low, gained=60))}, "home")
    assert "gains" not in verdict["sentence"]


def test_a_grade_that_nearly_every_item_loses_is_lost(imported):
    home = mixed(300, 0.5)
    grades = [[sample(f"essay {index}", grade=grade) for index in range(200)] for grade in (8.0, 7.0)]
    base = {"home": rows("home", home), "essays": grades[0]}
    verdict = imported(base, {"home": base["home"], "essays": [*grades[1][:195], *grades[0][195:]]}, "home")
    assert verdict["light"] == "loses"
    assert "cross-task −0.97 [" in verdict["sentence"]


def test_the_items_that_a_verdict_asks_for_settle_it(imported):
    """Two tasks that keep everything are open together, and both are named."""
    home, few = mixed(300, 0.5), mixed(50, 1.0)
    base = {"home": rows("home", home), "a": rows("a", few), "b": rows("b", few)}
    assert imported(base, base, "home")["settle"] == "about 53 more items each of a, b would settle it"
    more = np.ones(103, dtype=bool)
    base |= {"a": rows("a", more), "b": rows("b", more)}
    assert imported(base, base, "home")["light"] in ("keeps", "unclear")


def test_149_unchanged_items_are_the_fewest_that_can_show_a_loss_below_two_points(imported):
    home = mixed(300, 0.5)
    lights = []
    for count in (148, 149):
        base = {"home": rows("home", home), "far": rows("far", np.ones(count, dtype=bool))}
        lights.append(imported(base, base, "home")["light"])
    assert lights == ["unclear", "keeps"]


def test_an_import_has_a_folder_of_its_own_and_asks_no_claims_of_a_paper(tmp_path, monkeypatch, capsys):
    right = mixed(40, 0.5)
    found = {name: write_run(tmp_path / name, {"far": rows("far", right)}) for name in ("base", "tuned", "other")}
    monkeypatch.chdir(tmp_path)
    for variants in (["tuned"], ["tuned", "other"], ["tuned"]):
        assert call("import", "lm-eval", found["base"], *(found[name] for name in variants)) == 0
        place = f"report/{'-'.join(variants)}"
        assert f"report: {place}/index.html" in capsys.readouterr().out
        summary = json.loads((tmp_path / place / "summary.json").read_text())
        assert [verdict["variant"] for verdict in summary["verdicts"]] == variants
        assert "claims" not in summary
    assert call("import", "lm-eval", found["base"], found["other"], "--report", "report/tuned") == 2
    assert "holds the report of another study" in capsys.readouterr().err
