import json
import sys
import types
from pathlib import Path

import pytest
import torch
from accelerate import tracking as accelerate_tracking
from accelerate.tracking import GeneralTracker
from accelerate.utils import LoggerType

from spillover.config import load_study
from spillover.errors import UserError
from spillover.training.fit import fit
from spillover.training.optimization import TrainingSettings
from spillover.training.probe import Watch
from spillover.training.rows import MixedRows
from spillover.training.stages import fit_stages
from spillover.training.tracking import TRACKERS, TrackedTraining, TrackerError, Tracking, flat
from tests.models.tiny import tiny_model
from tests.study.made_study import make_study
from tests.test_cli import call
from tests.training.made_rows import GENERAL, made_rows


class Recorder(GeneralTracker):
    """A tracker of accelerate's that keeps what it is sent."""

    name = "recorder"
    requires_logging_directory = False

    def __init__(self, *, fails_at=None):
        super().__init__()
        self.starts = self.finishes = 0
        self.settings = {}
        self.sent = []
        self.fails_at = fails_at

    @property
    def tracker(self):
        return self

    def start(self):
        self.starts += 1

    def store_init_configuration(self, values):
        self.settings = values

    def log(self, values, step=None, **kwargs):
        if step == self.fails_at:
            raise ConnectionError("the server\nis away")
        self.sent.append((step, values))

    def finish(self):
        self.finishes += 1

    def series(self, name):
        return [(step, values[name]) for step, values in self.sent if name in values]


def tracked_by(recorder, **settings):
    return TrackedTraining(recorder, project="study", name="sft/first/16/0", settings=settings)


def test_a_tracker_is_sent_what_the_log_holds_and_the_rate_of_every_step():
    recorder = Recorder()
    settings = TrainingSettings(learning_rate=1e-2, batch_size=3, epochs=2)
    with tracked_by(recorder, training={"learning_rate": 1e-2}) as tracked:
        log = fit(tiny_model(), made_rows(3), settings, seed=0, watch=Watch(GENERAL, 3), tracked=tracked)
    assert recorder.series("loss") == list(enumerate(log.losses, start=1))
    assert recorder.series("learning_rate") == [(step + 1, pytest.approx(1e-2 * (1 - step / 4))) for step in range(4)]
    for name in ("general_loss", "kl_to_base"):
        assert recorder.series(name) == [(entry["step"], entry[name]) for entry in log.forgetting]
    assert [step for step, _ in recorder.series("kl_to_base")] == [0, 3, 4]
    steps = [step for step, _ in recorder.sent]
    assert steps == sorted(steps)  # Weights & Biases drops what goes back
    assert recorder.settings == {"training.learning_rate": 1e-2}
    assert (recorder.starts, recorder.finishes) == (1, 1)


def test_a_tracked_training_learns_what_another_does():
    settings = TrainingSettings(learning_rate=1e-2, batch_size=3, epochs=1)
    with tracked_by(Recorder()) as tracked:
        log = fit(tiny_model(), made_rows(3), settings, seed=0, tracked=tracked)
    assert log.losses == fit(tiny_model(), made_rows(3), settings, seed=0).losses


def test_stages_go_on_in_one_run_of_the_tracker():
    recorder = Recorder()
    parts = made_rows(2, count=6), made_rows(2, count=4, seed=1)
    rows = MixedRows((*parts[0].rows, *parts[1].rows), 0, {}, parts)
    settings = TrainingSettings(learning_rate=1e-2, batch_size=2, epochs=1)
    with tracked_by(recorder) as tracked:
        log = fit_stages(tiny_model(), rows, settings, seed=0, tracked=tracked)
    assert len(log.losses) == 5
    assert recorder.series("loss") == list(enumerate(log.losses, start=1))
    assert (recorder.starts, recorder.finishes) == (1, 1)


def test_a_run_is_finished_when_training_fails():
    recorder = Recorder()
    with pytest.raises(ZeroDivisionError), tracked_by(recorder) as tracked:
        fit(tiny_model(), made_rows(3), TrainingSettings(), seed=0, tracked=tracked, progress=lambda *_: 1 // 0)
    assert recorder.finishes == 1


def test_a_tracker_that_fails_is_named_with_its_reason_in_one_line():
    with pytest.raises(TrackerError) as error, tracked_by(Recorder(fails_at=1)) as tracked:
        fit(tiny_model(), made_rows(3), TrainingSettings(), seed=0, tracked=tracked)
    assert "failed (the server); see to it, or leave track out" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_run_that_cannot_be_opened_tells_why():
    class Closed(Recorder):
        def start(self):
            raise ConnectionError("no key; log in")

        def finish(self):
            raise AttributeError("no run was opened")

    with pytest.raises(TrackerError, match="failed \\(no key; log in\\)"), tracked_by(Closed()) as tracked:
        fit(tiny_model(), made_rows(3), TrainingSettings(), seed=0, tracked=tracked)


def test_settings_are_sent_as_single_values_under_dotted_names():
    nested = {"size": 16, "recipe": {"parameters": {"kind": "lora", "target_modules": ["q", "v"]}}, "note": None}
    assert flat(nested) == {
        "size": 16,
        "recipe.parameters.kind": "lora",
        "recipe.parameters.target_modules": '["q", "v"]',
        "note": None,
    }


def test_an_unknown_tracker_is_refused_with_the_nearest_name(tmp_path):
    with pytest.raises(UserError, match=r"unknown tracker 'tensorbord'; did you mean 'tensorboard'\?"):
        Tracking("tensorbord", "study", tmp_path)


@pytest.mark.parametrize("tracker", TRACKERS)
def test_an_absent_package_is_named_with_how_to_install_it(tracker, tmp_path, monkeypatch):
    monkeypatch.setattr(accelerate_tracking, "_available_trackers", [])
    message = f"track: {tracker} is not installed; install it: pip install {tracker}, or leave track out"
    with pytest.raises(UserError, match=message):
        Tracking(tracker, "study", tmp_path).require_installed()


def test_a_study_file_names_its_tracker_and_a_wrong_name_is_one_line(tmp_path):
    path = make_study(tmp_path, more="track: wandb")
    assert load_study(path, cache=tmp_path / "cache").track == "wandb"
    keys = {step.key for step in load_study(path, cache=tmp_path / "cache").steps}
    path.write_text(path.read_text().replace("track: wandb", ""))
    assert {step.key for step in load_study(path, cache=tmp_path / "cache").steps} == keys
    path.write_text(path.read_text() + "track: wandbee\n")
    with pytest.raises(UserError, match=r"study.yaml: track: unknown tracker 'wandbee'; did you mean 'wandb'\?"):
        load_study(path, cache=tmp_path / "cache")


@pytest.mark.parametrize(
    ("name", "message"),
    [("wandbee", "unknown tracker 'wandbee'; did you mean 'wandb'?"), ("wandb", "pip install wandb")],
)
def test_the_command_refuses_a_tracker_before_anything_is_computed(
    name, message, made_study_file, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(accelerate_tracking, "_available_trackers", [])
    assert call("run", made_study_file, "--store", tmp_path / "store", "--track", name) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "store").exists()


class MadePackage:
    """Stands in for the packages of all trackers: remembers runs, and the values sent to the open one."""

    def __init__(self, folder=None):
        self.folder = folder
        self.runs = []
        self.files = []
        self.config = types.SimpleNamespace(update=self.keep)
        self.utils = types.SimpleNamespace(
            validation=types.SimpleNamespace(MAX_PARAM_VAL_LENGTH=500, MAX_PARAMS_TAGS_PER_BATCH=100)
        )

    def open(self, project, name):
        assert all(run["is_finished"] for run in self.runs)
        self.runs.append({"project": project, "name": name, "losses": [], "settings": {}, "is_finished": False})
        return self

    def keep(self, values, **options):
        self.runs[-1]["settings"] |= values

    def log(self, values, step=None, **options):
        self.runs[-1]["losses"] += [values["loss"]] if "loss" in values else []

    def finish(self):
        self.runs[-1]["is_finished"] = True

    def init(self, project, name, **options):  # wandb, trackio
        return self.open(project, name)

    def Artifact(self, name, type):  # noqa: A002, N802  wandb, from here on
        return types.SimpleNamespace(add_file=self.files.append)

    def log_artifact(self, artifact, artifact_path=None):  # MLflow takes the file itself
        assert not self.runs[-1]["is_finished"]
        self.runs[-1]["kept"] = Path(artifact if artifact_path else self.files.pop()).read_bytes()

    def search_experiments(self, filter_string):  # MLflow, from here on
        return []

    def create_experiment(self, name, **options):
        return name

    def start_run(self, experiment_id, run_name, **options):
        return self.open(experiment_id, run_name)

    log_params, log_metrics, end_run = keep, log, finish

    def SummaryWriter(self, folder):  # noqa: N802  TensorBoard, from here on
        return self.open(*str(Path(folder).relative_to(self.folder)).split("/", maxsplit=1))

    def add_hparams(self, values, **options):
        self.keep(values)

    def add_scalar(self, name, value, global_step=None):
        self.log({name: value})

    def flush(self): ...

    close = finish


def use_package(tracker, package, monkeypatch):
    monkeypatch.setattr(accelerate_tracking, "_available_trackers", [LoggerType(tracker)])
    if tracker == "tensorboard":
        monkeypatch.setattr(torch.utils, "tensorboard", package, raising=False)
    else:
        monkeypatch.setitem(sys.modules, tracker, package)


def test_every_training_that_the_command_starts_is_tracked(tmp_path, monkeypatch):
    torch.set_num_threads(1)
    package, path = MadePackage(), make_study(tmp_path / "study", more="track: wandb")
    text = path.read_text().replace("shots: [0, 2]", "shots: [0]\ntest_on: [first]")
    path.write_text(text.replace("test_limit: 10", "test_limit: 2"))
    use_package("wandb", package, monkeypatch)
    options = ["--store", tmp_path / "store", "--report", tmp_path / "report", "--threads", 1, "--device", "cpu"]
    assert call("run", path, *options) == 0
    assert all(run["project"] == "study" and run["is_finished"] for run in package.runs)
    kept = package.runs.pop()
    assert (kept["name"], kept["kept"]) == ("report", (tmp_path / "report" / "index.html").read_bytes())
    assert [run["name"] for run in package.runs] == ["sft/first/16/0", "sft/words/16/0", "fticl/first/16/0"]
    assert [run["settings"]["recipe.demonstrations.count"] for run in package.runs] == [0, 0, 2]
    logs = [json.loads(path.read_text()) for path in (tmp_path / "store").rglob("training.json")]
    assert sorted(run["losses"] for run in package.runs) == sorted(log["losses"] for log in logs)


@pytest.mark.parametrize("tracker", TRACKERS)
def test_every_tracker_gets_the_project_and_the_name_of_the_run(tracker, tmp_path, monkeypatch):
    package = MadePackage(tmp_path)
    use_package(tracker, package, monkeypatch)
    tracking = Tracking(tracker, "it's 5%", tmp_path)
    tracking.require_installed()
    with tracking.training("sft/first/16/0", {"size": 16}) as tracked:
        log = fit(tiny_model(), made_rows(3), TrainingSettings(epochs=1), seed=0, tracked=tracked)
    run = {"project": "it-s 5-", "name": "sft/first/16/0", "is_finished": True}
    assert package.runs == [{**run, "losses": log.losses, "settings": {"size": 16}}]


@pytest.mark.parametrize("tracker", TRACKERS)
def test_a_page_is_an_artifact_where_the_tracker_keeps_any(tracker, tmp_path, monkeypatch):
    package, page = MadePackage(tmp_path), tmp_path / "index.html"
    page.write_text("the page")
    use_package(tracker, package, monkeypatch)
    keeps = tracker in ("mlflow", "wandb")
    assert Tracking(tracker, "it's 5%", tmp_path).keep_page(page) == keeps
    run = {"project": "it-s 5-", "name": "report", "is_finished": True, "losses": [], "settings": {}}
    assert package.runs == ([{**run, "kept": b"the page"}] if keeps else [])


@pytest.mark.parametrize("tracker", ["mlflow", "wandb"])
def test_a_tracker_that_takes_no_artifact_is_one_error_and_its_run_is_finished(tracker, tmp_path, monkeypatch):
    package, page = MadePackage(tmp_path), tmp_path / "index.html"
    page.write_text("the page")
    use_package(tracker, package, monkeypatch)

    def full(*given, **named):
        raise OSError("quota exceeded")

    monkeypatch.setattr(package, "log_artifact", full)
    with pytest.raises(TrackerError, match=rf"tracker '{tracker}' failed \(quota exceeded\)"):
        Tracking(tracker, "study", tmp_path).keep_page(page)
    assert [run["is_finished"] for run in package.runs] == [True]
