import importlib.util
import json
from pathlib import Path

import pytest

from spillover.errors import UserError
from tests.robust.processes import start
from tests.study.made_study import make_model

pytestmark = [
    pytest.mark.skipif(
        importlib.util.find_spec("lm_eval") is None, reason="lm-eval is not installed: pip install '.[harness]'"
    ),
    # Of lm-eval's own imports and data reading, none of them ours to change.
    pytest.mark.filterwarnings("ignore::DeprecationWarning:(lm_eval|evaluate|datasets|sqlitedict|multiprocess).*"),
    pytest.mark.filterwarnings("ignore::FutureWarning:(lm_eval|evaluate|datasets).*"),
]

ROOT = Path(__file__).parents[3]
TASKS = ROOT / "tests" / "lm_eval_tasks"
NAMES = ("spillover_moods", "spillover_questions", "spillover_letters")


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory):
    return make_model(tmp_path_factory.mktemp("model") / "made")


@pytest.fixture(scope="module")
def sides(model_folder):
    """lm-eval's own model and ours around the same weights."""
    from lm_eval.models.huggingface import HFLM

    from spillover.evaluation.harness.lm import EngineLM
    from spillover.models.load import load_model
    from spillover.models.tokenizer import load_tokenizer

    model = load_model(model_folder, dtype="float32", device="cpu")
    tokenizer = load_tokenizer(model_folder)
    own = HFLM(pretrained=model, tokenizer=tokenizer, backend="causal", batch_size=3, max_length=96)
    return own, EngineLM(model, tokenizer, pack_tokens=64, max_length=96)


def requests(kind, arguments):
    from lm_eval.api.instance import Instance

    return [Instance(kind, {}, entry, index) for index, entry in enumerate(arguments)]


SHOWN = "Note: rain all day.\nMood: sad\n\n"
PAIRS = [
    *((f"{SHOWN}Note: {text}.\nMood:", f" {label}") for text in ("sun", "fog again") for label in ("sad", "glad", "s")),
    ("Another task altogether: ", "yes"),  # its space moves to the continuation
    ("Another task altogether: ", "no"),
    ("", "from nothing"),
    ("far too long " * 20, "to fit"),  # truncated from the left
    ("a", "b" * 96),  # the longest continuation that fits
]


def test_log_likelihoods_and_greedy_flags_of_mixed_requests_equal_those_of_lm_evals_own_model(sides):
    own, ours = sides
    greedy = own.generate_until(requests("generate_until", [("Say:", {"until": ["\n"], "max_gen_toks": 3})]))[0]
    pairs = [*PAIRS, ("Say:", greedy)]
    expected = own.loglikelihood(requests("loglikelihood", pairs), disable_tqdm=True)
    got = ours.loglikelihood(requests("loglikelihood", pairs), disable_tqdm=True)
    assert max(abs(a - b) for (a, _), (b, _) in zip(expected, got, strict=True)) <= 1e-4
    assert [flag for _, flag in got] == [flag for _, flag in expected]
    assert got[-1][1]
    assert not got[0][1]


def test_rolling_log_likelihoods_of_texts_longer_than_the_context_equal_lm_evals_own(sides):
    own, ours = sides
    texts = [("short",), ("a much longer text than the context holds, " * 6,), ("x",)]
    expected = own.loglikelihood_rolling(requests("loglikelihood_rolling", texts), disable_tqdm=True)
    got = ours.loglikelihood_rolling(requests("loglikelihood_rolling", texts), disable_tqdm=True)
    assert got == pytest.approx(expected, abs=1e-3, rel=1e-6)


def test_greedy_texts_equal_lm_evals_own_for_several_settings_in_one_call(sides):
    own, ours = sides
    few, more = {"until": ["\n"], "max_gen_toks": 5}, {"until": ["q", " "], "max_gen_toks": 9, "do_sample": False}
    asked = [(f"{SHOWN}Note: {text}", few if len(text) % 2 else more) for text in ("sun", "fog", "rain", "a", "bc")]
    own_texts = [own.generate_until(requests("generate_until", [entry]), disable_tqdm=True)[0] for entry in asked]
    assert ours.generate_until(requests("generate_until", asked), disable_tqdm=True) == own_texts


def test_sampling_is_left_to_lm_evals_own_generation(sides):
    import torch

    own, ours = sides
    asked = requests("generate_until", [("Note:", {"do_sample": True, "temperature": 5.0, "max_gen_toks": 8})])
    texts = []
    for lm in (own, ours):
        torch.manual_seed(3)
        texts.append(lm.generate_until(asked, disable_tqdm=True))
    assert texts[0] == texts[1]


def test_a_request_without_anything_to_score_is_refused(sides):
    with pytest.raises(
        UserError, match=r"request 0: 2 tokens of context and 0 to score; expected at least one of each"
    ):
        sides[1]._loglikelihood_tokens([(None, [5, 6], [])])


@pytest.fixture(scope="module")
def runs(model_folder, tmp_path_factory):
    """The three local tasks through the command line: with lm-eval's own model and with ours."""
    folder = tmp_path_factory.mktemp("runs")
    models = {"hf": f"pretrained={model_folder},dtype=float32", "spillover": f"base={model_folder},dtype=float32"}
    for name, model_args in models.items():
        code, text = lm_eval_run(folder / name, "--model", name, "--model_args", model_args)
        assert code == 0, text[-2000:]
    return {name: folder / name for name in models}


def lm_eval_run(folder, *arguments):
    command = ["lm-eval", "run", *arguments, "--include_path", str(TASKS), "--tasks", ",".join(NAMES)]
    command += ["--output_path", str(folder), "--log_samples", "--device", "cpu"]
    return start(command, cache=folder / "cache", said=folder.with_suffix(".said")).end()


def metric_values(folder):
    (file,) = folder.rglob("results_*.json")
    results = json.loads(file.read_text(encoding="utf-8"))["results"]
    return {
        (task, name): value
        for task in NAMES
        for name, value in results[task].items()
        if name.endswith(",none") and "stderr" not in name
    }


def test_the_command_gives_the_metric_values_of_lm_evals_own_model(runs):
    own, ours = metric_values(runs["hf"]), metric_values(runs["spillover"])
    assert {task for task, _ in own} == set(NAMES)
    assert ours == pytest.approx(own, rel=1e-5)


def test_two_logged_runs_become_results_joined_by_content(runs):
    from spillover.evaluation.harness.samples import read_runs

    results = read_runs(
        [runs["hf"], runs["spillover"]], base=runs["hf"], trained_on=["spillover_moods"], command="import"
    )
    assert {card.name for card in results.tasks} == set(NAMES)
    shots = {score.cell.tested_on: score.cell.shots for score in results.scores}
    assert shots == {"spillover_moods": 5, "spillover_questions": 2, "spillover_letters": 0}
    values = {
        (score.cell.tested_on, score.metric): float(results.metrics[score.metric].combine(score.statistics.sum(axis=0)))
        for score in results.scores
        if score.variant == "spillover"
    }
    logged = metric_values(runs["spillover"])
    for (task, metric), value in values.items():
        assert value == pytest.approx(logged[task, f"{metric},none"], rel=1e-9)


def test_a_misspelt_model_argument_is_one_line_with_the_nearest_name(model_folder, tmp_path):
    code, text = lm_eval_run(tmp_path / "run", "--model", "spillover", "--model_args", f"bse={model_folder}")
    assert code == 2
    assert "error: unknown model argument 'bse'; did you mean 'base'?" in text
