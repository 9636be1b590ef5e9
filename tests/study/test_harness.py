"""Tasks of lm-eval inside a study, against lm-eval's own evaluation of the same weights."""

import importlib.util
import json
import sys
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from spillover.api import user_cache
from spillover.config import load_study
from spillover.errors import SpilloverError, UserError
from spillover.evaluation.exactness import check_exact
from spillover.evaluation.harness.floors import HarnessFloors, harness_floors
from spillover.evaluation.harness.samples import read_runs
from spillover.lint.reach import margin_reach
from spillover.questions import answered
from spillover.records import BASE, RIGHT_ANSWERS, Relation
from spillover.report.explorer import explorer
from spillover.report.write import write_report
from spillover.sources.task_code import trust
from spillover.steps.harness import AskHarness, ScoreHarness
from spillover.steps.workshop import Workshop
from spillover.store import files
from spillover.store.store import Store
from spillover.study.results import collect
from spillover.study.runner import computed, missing_steps, run_study
from tests.commands.called import call
from tests.study.made_study import make_study
from tests.study.test_runner import Quiet

pytestmark = [
    pytest.mark.skipif(
        importlib.util.find_spec("lm_eval") is None, reason="lm-eval is not installed: pip install '.[harness]'"
    ),
    # Of lm-eval's own imports and data reading, none of them ours to change.
    pytest.mark.filterwarnings("ignore::DeprecationWarning:(lm_eval|evaluate|datasets|sqlitedict|multiprocess).*"),
    pytest.mark.filterwarnings("ignore::FutureWarning:(lm_eval|evaluate|datasets).*"),
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning"),  # asked for by peft
]

SHARED = Path(__file__).parents[1] / "lm_eval_tasks"
ROWS = """
import datasets

WORDS = {"red": "warm", "blue": "cold", "fire": "warm", "ice": "cold", "snow": "cold", "sun": "warm"}


def parts(**_):
    rows = [{"thing": f"{word} {index}", "feel": feel} for index in range(4) for word, feel in WORDS.items()]
    return {"shown": datasets.Dataset.from_list(rows[:8]), "test": datasets.Dataset.from_list(rows[8:])}


def checksum(doc, results):
    return {"checksum": sum(map(ord, results[0])) % 101 / 101}


def both(doc, results):
    first = float(results[0][0] > results[1][0])
    return {"acc": first, "where_cold": first} if doc["feel"] == "cold" else {"acc": first}
"""
WARMTH = """
task: warmth
output_type: multiple_choice
custom_dataset: !function things.parts
test_split: test
fewshot_split: shown
doc_to_text: "Thing: {{thing}}\\nFeel:"
doc_to_choice: [warm, cold]
doc_to_target: "{{feel}}"
metric_list: [{metric: acc, aggregation: mean, higher_is_better: true}]
"""
WRITTEN = """
task: written
output_type: generate_until
custom_dataset: !function things.parts
test_split: test
fewshot_split: shown
num_fewshot: 1
doc_to_text: "Thing: {{thing}}\nFeel:"
doc_to_target: "{{feel}}"
generation_kwargs: {until: [never said], max_gen_toks: 12}
process_results: !function things.checksum
filter_list:
  - {name: whole, filter: [{function: take_first}]}
  - {name: short, filter: [{function: regex, regex_pattern: "(...)"}, {function: take_first}]}
metric_list: [{metric: checksum, aggregation: mean, higher_is_better: true}]
"""
NAMES = ("spillover_moods", "spillover_questions", "spillover_letters", "written", "warmth")
SHOTS = {
    "spillover_moods": (5,),
    "spillover_questions": (2,),
    "spillover_letters": (0,),
    "written": (1,),
    "warmth": (0, 2),
}
VARIANTS = ("sft/first/16/0", "lora/first/16/0")


def write_tasks(folder: Path, **more: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "things.py").write_text(ROWS)
    for name, text in {"warmth": WARMTH, "written": WRITTEN, **more}.items():
        (folder / f"{name}.yaml").write_text(text)
    return folder


def write_study(folder: Path, tests: str, more: str = "") -> Path:
    path = make_study(folder, more=f"test_on: {tests}\nlm_eval_include: [{SHARED}, ./own]\n{more}")
    write_tasks(folder / "own")
    head, rest = path.read_text().split("variants:")
    path.write_text(
        f"{head}variants:\n  - {{name: sft, train_on: first, sizes: [16]}}\n"
        "  - {name: lora, train_on: first, sizes: [16], recipe: {parameters: {kind: lora, rank: 2}}}\n"
        f"shots:{rest.split('shots:')[1]}"
    )
    return path


def load(path: Path):
    trust([SHARED, path.parent / "own"], cache=path.parent / "cache")
    return load_study(path, cache=path.parent / "cache", notice=lambda _: None)


@pytest.fixture
def agreed(file):
    """The user's cache where commands find the agreement to run the tasks' code."""
    trust([SHARED, file.parent / "own"], cache=user_cache())


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    tests = "[first, lm-eval/spillover_moods, lm-eval/spillover_questions, lm-eval/spillover_letters, lm-eval/written, "
    return write_study(tmp_path_factory.mktemp("harness"), tests + "{task: lm-eval/warmth, family: mood}]")


@pytest.fixture(scope="module")
def finished(file, tmp_path_factory):
    torch.set_num_threads(1)
    study, store = load(file), Store(tmp_path_factory.mktemp("store"))
    assert not run_study(study, store, Workshop(store), Quiet()).failed
    return study, store, collect(study, store, command="spillover run")


def lm_evals_own(model: str, adapter: str, shots: int | None, names, folders) -> dict[tuple[str, str], float]:
    """Metric values of lm-eval's own evaluation with its own model."""
    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager

    arguments = {"pretrained": model, "dtype": "float32"} | ({"peft": adapter} if adapter else {})
    found = simple_evaluate(
        model="hf",
        model_args=arguments,
        tasks=list(names),
        num_fewshot=shots,
        limit=10,
        device="cpu",
        batch_size=4,
        bootstrap_iters=0,
        task_manager=TaskManager(include_path=[str(folder) for folder in folders], include_defaults=False),
    )
    return {
        (task, metric if sample_filter == "none" else f"{metric} ({sample_filter})"): value
        for task, values in found["results"].items()
        for name, value in values.items()
        for metric, comma, sample_filter in [name.partition(",")]
        if comma and "stderr" not in metric
    }


@pytest.mark.parametrize("model", [BASE, *VARIANTS])
def test_the_reports_values_are_those_of_lm_evals_own_evaluation_of_the_same_weights(finished, file, model):
    study, store, results = finished
    folder, adapter = str(study.base.path), ""
    for step in study.models:
        if step.variant == model:
            kept = str(step.weights(store))
            folder, adapter = (folder, kept) if step.saves_adapter else (kept, "")
    folders = [SHARED, file.parent / "own"]
    expected = {
        (task, SHOTS[task][0], metric): value
        for (task, metric), value in lm_evals_own(folder, adapter, None, NAMES, folders).items()
    }
    for (task, metric), value in lm_evals_own(folder, adapter, 2, ["warmth"], folders).items():
        expected[task, 2, metric] = value
    found = {
        (row.tested_on.removeprefix("lm-eval/"), row.shots, row.metric): row.value
        for row in answered(results, resample_count=20).measurements
        if row.variant == model and row.tested_on != "first"
    }
    assert {key for key in expected if key[2] != "chrf"} == set(found)
    assert len(found) == 2 + 1 + 3 + 2 + 2
    assert model != BASE or found["written", 1, "checksum (whole)"] > 0  # a variant may learn to say nothing
    assert found == pytest.approx({key: expected[key] for key in found}, rel=1e-4)


def test_such_a_task_is_cross_task_unless_the_study_gives_it_a_family(finished):
    relations = finished[2].relations
    assert relations[VARIANTS[0], "lm-eval/spillover_moods"] is Relation.CROSS_TASK
    assert relations[VARIANTS[0], "lm-eval/warmth"] is Relation.OUT_OF_DOMAIN


def test_shots_that_a_task_sets_itself_stay_and_what_is_left_out_is_named(finished):
    results = finished[2]
    shots = {}
    for scored in results.scores:
        shots.setdefault(scored.cell.tested_on, set()).add(scored.cell.shots)
    assert {name: tuple(sorted(shots[f"lm-eval/{name}"])) for name in NAMES} == SHOTS
    assert "lm-eval/spillover_moods at 0 shots: the task itself sets 5" in results.skipped
    assert "lm-eval/spillover_letters at 2 shots: the task itself sets 0" in results.skipped
    chrf = "lm-eval/spillover_questions: metric chrf: its aggregation is not a function of sums over items"
    assert chrf in results.skipped


def test_the_report_shows_these_tasks_like_any_other(finished, tmp_path):
    results = finished[2]
    cards = {card.name: card for card in results.tasks}
    moods, letters = cards["lm-eval/spillover_moods"], cards["lm-eval/spillover_letters"]
    assert (moods.primary_metric, moods.answers) == ("acc", ("glad", "sad", "neither glad nor sad"))
    assert moods.chance_accuracy == pytest.approx(1 / 3)
    assert (letters.primary_metric, letters.chance_accuracy) == ("word_perplexity", None)
    write_report(results, answered(results, resample_count=20), tmp_path / "report")
    page = (tmp_path / "report" / "index.html").read_text()
    assert "lm-eval/warmth" in page
    assert "word_perplexity" in page


def test_tasks_know_what_knowing_nothing_scores_by_lm_evals_own_code(finished):
    study, store, results = finished
    cards = {card.name.removeprefix("lm-eval/"): card for card in results.tasks}
    # rows 8 to 17 of fire ice snow sun red blue: five are warm
    assert cards["warmth"].floors == {"acc": pytest.approx(0.5)}
    moods = [row.target for row in answers_of(store, asked(study, "spillover_moods"))]
    most = max(moods.count(mood) for mood in set(moods)) / 10
    assert most > 1 / 3
    assert cards["spillover_moods"].floors == {"acc": pytest.approx(most), "acc_norm": pytest.approx(most)}
    questions = answers_of(store, asked(study, "spillover_questions"))
    assert cards["spillover_questions"].floors == {"exact_match": 0.0}
    first = [row.target for row in questions].count(questions[0].target) / len(questions)
    assert cards["spillover_questions"].constant_scores == {"exact_match": pytest.approx(first)}
    # the task's own metric, a checksum of what is written: of "warm" 439 % 101 = 35, of "cold" 418 % 101 = 14
    invalid = sum(map(ord, "[invalid]")) % 101 / 101  # what lm-eval's filter makes of a text it finds nothing in
    assert cards["written"].floors == {"checksum (whole)": 0.0, "checksum (short)": pytest.approx(invalid)}
    assert cards["written"].constant_scores["checksum (whole)"] == pytest.approx(35 / 101)
    assert cards["spillover_letters"].floors == {}
    assert results.metrics["acc"].kind == results.metrics["exact_match"].kind == RIGHT_ANSWERS
    assert results.metrics["checksum (whole)"].kind == "checksum (whole)"
    assert results.metrics["word_perplexity"].unit == "perplexity"


def test_models_have_a_most_frequent_answer_wherever_they_answer(finished):
    study, store, results = finished
    steps = [step.predictions for step in harness_scores(study)]
    found = {key: answer for key, answer in results.common_answers.items() if key[1].tested_on.startswith("lm-eval/")}
    assert set(found) == {(s.model, s.cell) for s in steps if s.cell.tested_on != "lm-eval/spillover_letters"}
    for step in steps:
        if (answer := found.get((step.model, step.cell))) is not None:
            said = [row.raw_answer for row in answers_of(store, step)]
            assert said.count(answer.text) == pytest.approx(answer.share * len(said)) == max(map(said.count, said))


def test_a_tasks_code_that_takes_an_answer_for_granted_tells_no_floor(finished, monkeypatch):
    cell = asked(finished[0], "written").asked
    cards = {"checksum (whole)": finished[2].metrics["checksum (whole)"]}
    assert harness_floors(cell, cards).floors == {"checksum (whole)": 0.0}

    def first_letter(document, results):
        return {"checksum": float(results[0][0] == "w")}

    monkeypatch.setattr(cell.task.task.config, "process_results", first_letter)
    assert harness_floors(cell, cards) == HarnessFloors()


def test_what_lm_eval_logs_of_a_run_tells_the_same_floors_and_answers(finished, file, tmp_path):
    from lm_eval import simple_evaluate
    from lm_eval.loggers import EvaluationTracker
    from lm_eval.tasks import TaskManager

    study, _, results = finished
    names = ("spillover_moods", "spillover_questions", "spillover_letters", "warmth")
    folders = [str(SHARED), str(file.parent / "own")]
    run = simple_evaluate(
        model="hf",
        model_args={"pretrained": str(study.base.path), "dtype": "float32"},
        tasks=list(names),
        limit=10,
        device="cpu",
        batch_size=4,
        bootstrap_iters=0,
        log_samples=True,
        task_manager=TaskManager(include_path=folders, include_defaults=False),
    )
    samples = run.pop("samples")
    for folder in ("one", "two"):
        tracker = EvaluationTracker(output_path=str(tmp_path / folder))
        tracker.save_results_aggregated(results=run, samples=deepcopy(samples))
        for name in names:
            tracker.save_results_samples(task_name=name, samples=deepcopy(samples[name]))
    logged = read_runs([tmp_path / "one", tmp_path / "two"], base=tmp_path / "one", trained_on=(), command="x")
    ours = {card.name.removeprefix("lm-eval/"): card for card in results.tasks}
    for card in logged.tasks:
        own = ours[card.name]
        assert card.floors == pytest.approx(own.floors)
        assert card.constant_scores == pytest.approx(own.constant_scores)
        assert (card.answers, card.majority_accuracy) == (own.answers, own.majority_accuracy)
        assert card.chance_accuracy == pytest.approx(own.chance_accuracy)
        assert card.primary_metric == own.primary_metric
    answers = {cell.tested_on: answer for (model, cell), answer in logged.common_answers.items() if model == BASE}
    assert set(answers) == set(names) - {"spillover_letters"}
    assert answers["warmth"] == results.common_answers[BASE, replace(asked(study, "warmth").cell, shots=0)]


def test_answers_to_every_item_are_kept_and_the_prompt_is_the_same_for_every_model(finished):
    study, store, _ = finished
    steps = [step for step in study.steps if isinstance(step, AskHarness)]
    warmth = [step for step in steps if step.cell.tested_on == "lm-eval/warmth" and step.cell.shots == 2]
    assert len(warmth) == 3
    rows = files.read_predictions(store.file(warmth[0], "predictions.jsonl"))
    assert len({row.example_id for row in rows}) == len(rows) == 10
    for row in rows:
        assert row.options == ("warm", "cold")
        assert row.raw_answer == row.options[row.log_likelihoods.index(max(row.log_likelihoods))]
        assert row.target in row.options
    prompts = {store.file(step, "prompt.json").read_text() for step in warmth}
    assert len(prompts) == 1
    assert json.loads(prompts.pop())["text"].count("Thing:") == 3


def harness_scores(study) -> list[ScoreHarness]:
    return [step for step in study.scores if isinstance(step, ScoreHarness)]


def asked(study, task: str, model: str = BASE) -> AskHarness:
    """The step that asks a model a task, at the task's largest shot count."""
    steps = [step.predictions for step in harness_scores(study)]
    found = [step for step in steps if (step.model, step.cell.tested_on) == (model, f"lm-eval/{task}")]
    return max(found, key=lambda step: step.cell.shots)


def answers_of(store, step):
    return files.read_predictions(store.file(step, files.PREDICTIONS))


def test_choices_have_a_flip_floor_at_their_largest_shot_count(finished):
    study, _, results = finished
    assert study.precision == "float32"  # where only a fault would differ, so the base alone is compared
    floors = {(model, cell): floor for (model, cell), floor in results.flip_floors.items() if "/" in cell.tested_on}
    assert set(floors) == {(BASE, asked(study, name).cell) for name in ("spillover_moods", "warmth")}
    for floor in floors.values():
        assert (floor.item_count, floor.flipped_count) == (4, 0)
        assert floor.largest_difference < 1e-4


def test_wrong_answers_to_lm_evals_choices_are_flips_and_refused(finished):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from spillover.evaluation.harness.flip_floor import PlainLM, choice_flip_floor

    study, store, _ = finished
    step, path = asked(study, "warmth"), study.base.path
    plain = PlainLM(AutoModelForCausalLM.from_pretrained(path).eval(), AutoTokenizer.from_pretrained(path))
    right = answers_of(store, step)
    turned = [replace(row, log_likelihoods=row.log_likelihoods[::-1]) for row in right]
    floor = choice_flip_floor(plain, step.asked, turned, item_count=99)
    assert (floor.item_count, floor.flipped_count) == (10, 10)
    widest = max(abs(row.log_likelihoods[0] - row.log_likelihoods[1]) for row in right)
    assert floor.largest_difference == pytest.approx(widest, abs=1e-4)
    with pytest.raises(SpilloverError, match="differs from the plain path by"):
        check_exact(floor, where="ask base")


def test_items_that_a_variant_lost_and_won_are_those_of_the_answers(finished):
    study, store, results = finished
    compared = {(row.variant, row.cell): row for row in results.changes if row.cell.tested_on.startswith("lm-eval/")}
    assert set(compared) == {
        (model, cell.cell) for model in VARIANTS for task in study.cell_sources[1] for cell in task.cells
    }
    for model in VARIANTS:
        row = compared[model, asked(study, "warmth").cell]
        pairs = list(zip(*(answers_of(store, asked(study, "warmth", name)) for name in (BASE, model)), strict=True))
        right = [(old.raw_answer == old.target, new.raw_answer == new.target) for old, new in pairs]
        lost = [new.example_id for (_, new), kept in zip(pairs, right, strict=True) if kept == (True, False)]
        won = [new.example_id for (_, new), kept in zip(pairs, right, strict=True) if kept == (False, True)]
        assert [change.item.example_id for change in row.regressions] == lost
        assert [change.item.example_id for change in row.gains] == won
        assert row.metric in results.metrics
        for change in (*row.regressions, *row.gains):
            assert change.item.options == ("warm", "cold")
            assert change.variant.shares[("warm", "cold").index(change.variant.text)] > 0.5
    assert any(row.regression_count or row.gain_count for row in compared.values())


def test_the_explorer_holds_items_of_lm_evals_tasks(finished):
    study, _, results = finished
    data = json.loads(explorer(results).data)
    names = [data["tasks"][cell[0]] for cell in data["cells"]]
    shown = {names[item[0]] for item in data["items"]}
    assert "lm-eval/spillover_letters" in shown
    letters = [data["texts"][item[4]] for item in data["items"] if names[item[0]] == "lm-eval/spillover_letters"]
    assert set(letters) <= {item.document["letter"] for item in asked(study, "spillover_letters").asked.items}


def test_show_prints_contexts_options_references_and_answers(finished, file, agreed, capsys):
    _, store, _ = finished

    def shown(cell):
        capsys.readouterr()
        assert call("show", file, cell, "--store", store.root, "--limit", 0, "--json") == 0
        return json.loads(capsys.readouterr().out)

    study = finished[0]
    found = shown(f"{VARIANTS[0]}:lm-eval/warmth:2")
    rows = answers_of(store, asked(study, "warmth", VARIANTS[0]))
    assert [item["variant"]["text"] for item in found["items"]] == [row.raw_answer for row in rows]
    assert [item["target"] for item in found["items"]] == [row.target for row in rows]
    assert all(item["prompt"].count("Thing:") == 3 and item["options"] == ["warm", "cold"] for item in found["items"])
    written = shown("base:lm-eval/written:1")["items"]
    assert [item["base"]["text"] for item in written] == [
        row.raw_answer for row in answers_of(store, asked(study, "written"))
    ]
    letters = shown("base:lm-eval/spillover_letters:0")["items"]
    nats = [row.log_likelihoods[0] for row in answers_of(store, asked(study, "spillover_letters"))]
    assert [item["base"]["text"] for item in letters] == [f"{value:.2f} nats" for value in nats]
    assert [item["prompt"] for item in letters] == [""] * len(letters)


def test_diff_compares_two_variants_on_lm_evals_tasks(finished, file, agreed, capsys):
    store = finished[1]
    capsys.readouterr()
    arguments = ("--store", store.root, "--task", "lm-eval/warmth", "--limit", 99, "--json")
    assert call("diff", file, *VARIANTS, *arguments) == 0
    (zero, two) = json.loads(capsys.readouterr().out)["cells"]
    first, second = (answers_of(store, asked(finished[0], "warmth", model)) for model in VARIANTS)
    pairs = list(zip(first, second, strict=True))
    assert zero["cell"]["shots"] == 0
    assert two["regression_count"] == sum(old.raw_answer == old.target != new.raw_answer for old, new in pairs)
    assert two["gain_count"] == sum(old.raw_answer != old.target == new.raw_answer for old, new in pairs)


def test_their_documents_count_as_items_that_can_show_a_margin_or_not(finished):
    study, store, _ = finished
    reach = margin_reach(study, Workshop(store))
    # Ten rows of `first`, and of lm-eval's tasks as many documents as are asked.
    asked = {task.name: len(task.cells[0].items) for task in study.cell_sources[1] if task.may_enter_means}
    assert {task.name: task.unit_count for task in reach.tasks} == {"first": 10, **asked}
    assert asked
    assert max(asked.values()) == 10  # the limit, beyond which a task may have more
    assert reach.test_limits == {name: 149 for name, count in asked.items() if count == 10}


def test_running_again_computes_nothing(finished, file):
    assert not missing_steps(load(file), finished[1])


def test_a_study_without_such_tasks_keeps_what_is_finished(finished, file):
    changed = file.with_name("without.yaml")
    changed.write_text(file.read_text().split("test_on:")[0] + "test_on: first\n")
    assert not missing_steps(load(changed), finished[1])


@pytest.mark.parametrize(
    ("old", "new", "asked"),
    [
        ('"Thing: {{thing}}', '"A thing: {{thing}}', 2),  # the prompt
        ("aggregation: mean, higher_is_better: true}]", "aggregation: mean, higher_is_better: false}]", 2),
    ],
)
def test_a_changed_task_is_asked_again_and_nothing_else_is(finished, file, old, new, asked):
    task = file.parent / "own" / "warmth.yaml"
    text = task.read_text()
    assert old in text
    try:
        task.write_text(text.replace(old, new))
        missing = [step for step in missing_steps(load(file), finished[1]) if isinstance(step, AskHarness)]
    finally:
        task.write_text(text)
    assert {step.cell.tested_on for step in missing} == {"lm-eval/warmth"}
    assert len(missing) == 3 * asked


def test_changed_code_of_a_task_is_another_identity(finished, file):
    code = file.parent / "own" / "things.py"
    text = code.read_text()
    try:
        code.write_text(text + "\n# changed\n")
        missing = missing_steps(load(file), finished[1])
    finally:
        code.write_text(text)
    own = {"lm-eval/warmth", "lm-eval/written"}
    assert {step.cell.tested_on for step in missing if isinstance(step, AskHarness)} == own


def test_the_same_tasks_in_another_folder_are_the_same_steps(finished, tmp_path):
    tests = "[first, lm-eval/warmth]"
    moved = load(write_study(tmp_path / "moved", tests))
    assert not [step for step in missing_steps(moved, finished[1]) if isinstance(step, AskHarness)]


def test_a_metric_that_some_items_lack_is_left_out_and_named(tmp_path):
    path = write_study(tmp_path, "[lm-eval/partly]")
    more = WARMTH.replace("task: warmth", "task: partly\nprocess_results: !function things.both")
    write_tasks(tmp_path / "own", partly=more)
    study, store = load(path), Store(tmp_path / "store")
    asked = [step for step in study.steps if isinstance(step, AskHarness) and step.variant is None][:1]
    workshop = Workshop(store)
    scores = [step for step in harness_scores(study) if step.predictions is asked[0]]
    for step in (*asked, *scores):
        store.write(step, lambda folder, step=step: computed(step, folder, workshop))
    rules = files.read_json(store.file(scores[0], "metrics.json"))
    assert set(rules["rules"]) == {"acc"}
    assert rules["left_out"] == ["lm-eval/partly: metric where_cold: not every item has a number"]


REFUSED = {
    "lm-eval/warmht": r"unknown task of lm-eval 'warmht'; did you mean 'warmth'",
    "lm-eval/all_of_it": r"lm-eval/all_of_it is a group of lm-eval; .*: lm-eval/warmth, lm-eval/sampled",
    "lm-eval/marked": r"lm-eval/marked is a tag of lm-eval; .*: lm-eval/tagged",
    "lm-eval/sampled": r"lm-eval/sampled samples its answers; .*set do_sample: false",
    "lm-eval/scored_whole": r"lm-eval/scored_whole: none of its metrics \(bleu\) is a function of sums over items",
    "lm-eval/unsafe": r"lm-eval/unsafe runs code that models write",
    "lm-eval/broken": r"lm-eval/broken: lm-eval fails with \w+: .*check the task and its data",
    "lm-eval/short": r"lm-eval/short: 1 documents are left to ask, at least two are needed",
    "{task: lm-eval/warmth, family: moood}": r"lm-eval/warmth: unknown family 'moood'; did you mean 'mood'",
    "{task: first, family: mood}": r"'first' has its family in the suite; remove family here",
    "{task: lm-eval/warmth, famly: mood}": r"unknown setting 'famly'; did you mean 'family'",
    "lm-eval/spillover_letters": r"no tested task has a share such as accuracy as its metric; add one to test_on",
}
GENERATES = WARMTH.replace("multiple_choice", "generate_until").replace("doc_to_choice: [warm, cold]\n", "")
MORE = {
    "all_of_it": "group: all_of_it\ntask: [warmth, {task: sampled}]\n",
    "tagged": WARMTH.replace("task: warmth", "task: tagged\ntag: marked"),
    "sampled": GENERATES.replace("task: warmth", "task: sampled\ngeneration_kwargs: {do_sample: true}").replace(
        "acc", "exact_match"
    ),
    "scored_whole": GENERATES.replace("task: warmth", "task: scored_whole")
    .replace("metric: acc", "metric: bleu")
    .replace("aggregation: mean", "aggregation: bleu"),
    "unsafe": WARMTH.replace("task: warmth", "task: unsafe\nunsafe_code: true"),
    "broken": WARMTH.replace("task: warmth", "task: broken").replace("{{feel}}", "{{feel.nothing.at_all}}"),
    "short": WARMTH.replace("task: warmth", "task: short\nprocess_docs: !function one.first"),
}


@pytest.fixture(scope="module")
def refusals(tmp_path_factory):
    folder = tmp_path_factory.mktemp("refused")
    path = write_study(folder, "[TESTS]")
    write_tasks(folder / "own", **MORE)
    (folder / "own" / "one.py").write_text("def first(rows):\n    return rows.select([0])\n")
    return path


@pytest.mark.parametrize("entry", REFUSED)
def test_what_cannot_be_tested_is_refused_when_the_study_is_read(refusals, entry, monkeypatch):
    import lm_eval.tasks

    whole = lm_eval.tasks.TaskManager
    # lm-eval's own fifteen thousand files take a minute to read
    monkeypatch.setattr(lm_eval.tasks, "TaskManager", lambda **given: whole(**given | {"include_defaults": False}))
    path = refusals.with_name("entry.yaml")
    path.write_text(refusals.read_text().replace("[TESTS]", f"[{entry}]"))
    with pytest.raises(UserError, match=REFUSED[entry]):
        load(path)


def test_a_folder_that_is_not_there_is_refused(refusals):
    path = refusals.with_name("folder.yaml")
    path.write_text(refusals.read_text().replace("[TESTS]", "[lm-eval/warmth]").replace("./own", "./onw"))
    with pytest.raises(UserError, match=r"lm_eval_include: .*onw is no folder; give the folder that holds the tasks"):
        load(path)


def test_without_lm_eval_such_a_study_is_refused_with_what_to_install(refusals, monkeypatch):
    monkeypatch.setitem(sys.modules, "lm_eval.tasks", None)
    path = refusals.with_name("absent.yaml")
    path.write_text(refusals.read_text().replace("[TESTS]", "[lm-eval/warmth]"))
    with pytest.raises(UserError, match=r"lists lm-eval/warmth, but lm-eval is not installed .*spillover\[harness\]"):
        load(path)


def test_a_folder_of_tasks_is_read_only_once_the_user_agreed_to_what_it_holds(tmp_path):
    path = write_study(tmp_path, "[first, lm-eval/warmth]")
    own, touched = tmp_path / "own", tmp_path / "touched"
    things = own / "things.py"
    things.write_text(f"from pathlib import Path\nPath({str(touched)!r}).touch()\n" + things.read_text())

    def read():
        return load_study(path, cache=tmp_path / "cache", notice=lambda _: None)

    trust([SHARED], cache=tmp_path / "cache")
    with pytest.raises(UserError, match=r"runs code of .*own to read its tasks; look at it, .*--trust-task-code .*own"):
        read()
    assert not touched.exists()
    trust([own], cache=tmp_path / "cache")
    assert read().cell_sources[1]
    assert touched.exists()
    assert read().cell_sources[1]  # what Python compiled meanwhile is no change
    things.write_text(things.read_text() + "\nMORE = 1\n")
    with pytest.raises(UserError, match="runs code of"):
        read()
    path.write_text(path.read_text().replace("lm-eval/warmth", "second"))
    assert not read().cell_sources[1]  # nothing of the folder is read


def test_a_template_alone_runs_code_and_needs_the_agreement_too(tmp_path):
    """lm-eval renders templates without a sandbox; should that change, folders without Python need not be asked for."""
    from lm_eval.utils import apply_template

    assert "class" in apply_template("{{ ''.__class__.__mro__ }}", {})
    path = write_study(tmp_path, "[first, lm-eval/warmth]")
    (tmp_path / "own" / "things.py").unlink()
    with pytest.raises(UserError, match="--trust-task-code"):
        load_study(path, cache=tmp_path / "cache", notice=lambda _: None)
