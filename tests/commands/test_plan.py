import json
import math
import re
from collections import Counter

import pytest
import torch

from spillover.cli import main
from spillover.commands.plan import Plan, plain_plan, print_plan
from spillover.config import load_study
from spillover.lint.reach import Reach
from spillover.models.fingerprint import tensor_entries
from spillover.questions.drift.step import Drift
from spillover.statistics.power import AskedItems, detectable_difference, macro_factor
from spillover.steps.finetune import Finetune
from spillover.steps.speed import Cost, Speed
from spillover.steps.workshop import Workshop
from spillover.store.store import Store
from spillover.study.machine_speed import Calibration, calibrate
from spillover.study.plan import detectable_differences, expected_cost, planned_work
from spillover.study.runner import missing_steps, run_study
from tests.study.made_study import make_study
from tests.study.test_runner import Quiet

NOTHING = Reach(0.02, (), {})


def call(*arguments):
    with pytest.raises(SystemExit) as stopped:
        main([str(argument) for argument in arguments])
    return stopped.value.code


@pytest.fixture
def study(made_study_file):
    return load_study(made_study_file, cache=made_study_file.parent / "cache", notice=lambda line: None)


def test_a_plan_says_time_disk_and_what_the_design_can_show(made_study_file, tmp_path, capsys):
    assert call("plan", made_study_file, "--store", tmp_path / "store", "--threads", 1, "--json") == 0
    plan = json.loads(capsys.readouterr().out)
    assert len(plan["steps"]) == 57
    assert not any(step["done"] for step in plan["steps"])
    assert plan["disk_bytes"] > 0
    assert plan["memory_bytes"] > 0
    assert set(plan["costs"]) == {"prepare", "finetune", "predict", "score", "drift"}
    assert all(plan["costs"][kind]["wall_seconds"] > 0 for kind in ("finetune", "predict", "drift"))
    rows = {(row["variant"], row["relation"]): row for row in plan["detectable"]}
    assert len(rows) == 8  # nothing is out of the domain of `words`
    # Ten rows at 0 and 2 shots of one task whose items are right or wrong.
    row = rows["sft/first/16/0", "in-domain"]
    assert (row["cell_count"], row["item_count"], row["is_measured"]) == (2, 10, False)
    assert row["difference"] == pytest.approx(detectable_difference([AskedItems(10, 2, 0.5)]))
    assert not (tmp_path / "store").exists()


def test_a_plan_begins_with_its_sum_measures_a_machine_once_and_lists_steps_when_asked(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("SPILLOVER_CACHE", str(tmp_path / "cache"))
    path, options = make_study(tmp_path), ["--store", tmp_path / "store", "--threads", 1]
    assert call("plan", path, *options) == 0
    first = capsys.readouterr()
    assert "measuring this machine" in first.err
    assert re.match(
        r"57 of 57 steps to do, about \d+ s of processor time, about 0\.0 GB of disk, 0\.0 GB\s+of memory", first.out
    )
    assert "fine-tune sft/first/16/0" not in first.out
    assert call("plan", path, *options, "--steps") == 0
    again = capsys.readouterr()
    assert "measuring this machine" not in again.err
    assert again.out.splitlines()[0] == first.out.splitlines()[0]
    assert "By what was measured on this machine at" in again.out
    assert "fine-tune sft/first/16/0" in again.out
    (kept,) = (tmp_path / "cache" / "calibrations").iterdir()
    kept.write_text("{")  # what is broken, or asked for again, is measured again
    assert call("plan", path, *options) == 0
    assert "measuring this machine" in capsys.readouterr().err
    assert call("plan", path, *options, "--calibration", "--json") == 0
    shown = capsys.readouterr()
    assert "measuring this machine" in shown.err
    assert json.loads(shown.out)["measured_seconds"] > 0


@pytest.mark.parametrize("command", ["plan", "lint"])
def test_a_size_that_the_rows_cannot_serve_is_refused_before_anything_is_measured(tmp_path, capsys, command):
    path = make_study(tmp_path)
    path.write_text(path.read_text().replace("sizes: [16]}", "sizes: [400]}"))
    options = ["--no-calibration"] if command == "plan" else []
    assert call(command, path, "--store", tmp_path / "store", *options) == 2
    said = capsys.readouterr()
    assert "400 training rows asked for; it has 44" in " ".join((said.out + said.err).split())


def test_a_plan_without_calibration_says_no_time_and_how_many_rows_would_do(made_study_file, tmp_path, capsys):
    assert call("plan", made_study_file, "--store", tmp_path / "store", "--no-calibration") == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "processor time" not in printed
    assert "57 of 57 steps to do" in printed
    detectable = detectable_difference([AskedItems(10, 2, 0.5)])
    assert f"suggestion: in-domain: this design shows differences from {detectable:.2f} on" in printed
    assert "first has fewer: test on more tasks" in printed


def test_a_plan_names_the_tasks_that_can_never_show_that_nothing_was_lost(made_study_file, tmp_path, capsys):
    options = ["--store", tmp_path / "store", "--no-calibration"]
    assert call("plan", made_study_file, *options) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert (
        "margin 0.02: first, second, words (10 independent items) can never show that less than 0.02 was lost: 149 "
        "could, if nothing changed; margin 0.05 takes 59; where 20 % of the answers change and nothing is lost, it "
        "takes about 3,194, of one task or of a relation's tasks together" in printed
    )
    assert call("plan", made_study_file, *options, "--json") == 0
    found = json.loads(capsys.readouterr().out)["limits"]
    numbers = {key: found[key] for key in ("margin", "fewest_items", "items_to_show", "changed")}
    assert numbers == {"margin": 0.02, "fewest_items": 149, "items_to_show": 3194, "changed": 0.2}
    assert found["tasks"] == [
        {"name": name, "unit_count": 10, "fewest": 149, "can_show": False, "test_limit_needed": None}
        for name in ("first", "second", "words")
    ]


def test_a_plan_says_in_one_line_that_every_task_is_large_enough(tmp_path, capsys):
    path = make_study(tmp_path, more="margin: 0.4")  # 0.6 ** 6 = 0.047
    assert call("plan", path, "--store", tmp_path / "store", "--no-calibration") == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "margin 0.4: every tested task has the 6 independent items that showing it takes at least; where" in printed
    assert "can never show" not in printed


@pytest.mark.parametrize(
    ("device", "wall", "is_busy"), [("cpu", 3.0, True), ("cpu", 1.1, False), ("cpu", 0.6, False), ("cuda", 3.0, False)]
)
def test_a_plan_measured_on_a_busy_processor_says_so(capsys, device, wall, is_busy):
    costs, speed = {"predict": Cost(wall_seconds=wall, cpu_seconds=1.0)}, Speed(Cost(), Cost(), Cost(), Cost())
    plan = Plan((), frozenset(), (), 0, 0, costs, Calibration(speed, device, 0.0), (), (), NOTHING)
    assert plan.is_busy is plain_plan(plan)["machine_is_busy"] is is_busy
    print_plan(plan)
    printed = " ".join(capsys.readouterr().out.split())
    assert ("work takes 3.0 times its processor time now" in printed) is is_busy


def test_a_design_led_by_macro_f1_shows_as_little_as_its_rare_answer(tmp_path):
    path = make_study(tmp_path)
    suite = tmp_path / "made.yaml"
    suite.write_text(suite.read_text().replace("[up, down]", "[up, down]\n    metrics: [macro_f1]"))
    lines = [json.dumps({"text": f"dog {index}", "answer": "down" if index % 4 else "up"}) for index in range(60)]
    (tmp_path / "first.jsonl").write_text("\n".join(lines) + "\n")
    study, store = load_study(path, cache=tmp_path / "cache", notice=lambda line: None), Store(tmp_path / "store")
    (row, *_) = detectable_differences(study, store, Workshop(store))
    assert (row.variant, row.relation) == ("sft/first/16/0", "in-domain")
    counts = Counter(test.target for test in study.scores[0].predictions.data.rows(Workshop(store)).test[:10])
    assert 0 < counts["up"] < 5
    assert row.difference == pytest.approx(detectable_difference([AskedItems(10, 2, 0.5 * macro_factor(counts))]))
    assert row.difference > detectable_difference([AskedItems(10, 2, 0.5)])


def test_rows_that_share_sources_make_a_design_coarser_and_too_few_sources_are_said(tmp_path, capsys):
    path = make_study(tmp_path)
    rows = [json.loads(line) for line in (tmp_path / "first.jsonl").read_text().splitlines()]
    lines = [json.dumps({**row, "book": f"book {index // 2}"}) for index, row in enumerate(rows)]
    (tmp_path / "first.jsonl").write_text("\n".join(lines) + "\n")
    suite = tmp_path / "made.yaml"
    suite.write_text(suite.read_text().replace("{pool: first.jsonl}", "{pool: first.jsonl}\n    group: book"))
    assert call("plan", path, "--store", tmp_path / "store", "--no-calibration", "--json") == 0
    plan = json.loads(capsys.readouterr().out)
    row = plan["detectable"][0]
    assert (row["variant"], row["relation"], row["item_count"], row["fewest_units"]) == (
        *("sft/first/16/0", "in-domain"),
        *(10, 5),
    )
    assert row["difference"] == pytest.approx(detectable_difference([AskedItems(10, 2, 0.5, (2,) * 5)]))
    (said,) = (sentence for sentence in plan["suggestions"] if sentence.startswith("in-domain: a task has fewer"))
    assert said.endswith("and so no interval; test on more")


def test_stored_scores_of_the_base_take_the_place_of_the_assumed_deviation(study, tmp_path):
    store = Store(tmp_path / "store")
    torch.set_num_threads(1)
    assert not run_study(study, store, Workshop(store), Quiet()).failed
    rows = detectable_differences(study, store, Workshop(store))
    assert len(rows) == 8  # nothing is out of the domain of `words`
    assert all(row.is_measured for row in rows)


def test_time_follows_the_work_of_each_step(study, tmp_path):
    torch.set_num_threads(1)
    store = Store(tmp_path / "store")
    workshop = Workshop(store)
    speed = calibrate(study.base, precision="float32", device="cpu")
    steps = [step for step in missing_steps(study, store) if isinstance(step, Finetune)]
    cost = expected_cost(steps, planned_work(steps, workshop), workshop, speed)["finetune"]
    # A token of work is a forward pass, of which training takes three.
    tokens = sum(step.work(workshop) for step in steps) / 3
    expected = len(steps) * speed.loading.wall_seconds + tokens * speed.trained_token.wall_seconds
    assert cost.wall_seconds == pytest.approx(expected)
    assert min(speed.asked_token.cpu_seconds, speed.trained_token.cpu_seconds, speed.loading.cpu_seconds) > 0


def test_drift_takes_the_work_of_its_decompositions(study, tmp_path):
    store = Store(tmp_path / "store")
    step = next(step for step in missing_steps(study, store) if isinstance(step, Drift))
    shapes = {entry.name: entry.shape for entry in tensor_entries(study.base.path)}
    cubes = sum(min(shape) ** 3 for name, shape in shapes.items() if ".layers." in name and len(shape) == 2)
    weights = sum(math.prod(shape) for shape in shapes.values())
    assert step.work(Workshop(store)) == pytest.approx(65 * cubes / weights)
