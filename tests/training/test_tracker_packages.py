"""Trainings followed by the real packages of all trackers, and read back out of what those keep on disk."""

import json
import os
import sqlite3
import struct
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.study.made_study import make_study

Series = dict[str, list[tuple[int, float]]]
NAMES = ("loss", "learning_rate", "general_loss", "kl_to_base")


@dataclass
class Kept:
    """What a tracker kept of a run."""

    project: str
    name: str
    series: Series
    settings: dict[str, object]


def ask(tracker: str, folder: Path, *, name: str = "study") -> tuple[subprocess.CompletedProcess[str], dict]:
    """Run a study of one training with the tracker, which keeps its runs in ``folder``; return the training's log."""
    path = make_study(folder / "study", more=f"watch: 2\ntrack: {tracker}")
    text = path.read_text().replace("  - {name: sft, train_on: [first, words], sizes: [16]}\n", "")
    text = text.replace("shots: [0, 2]", "shots: [0]\ntest_on: [first]").replace("test_limit: 10", "test_limit: 2")
    path = path.rename(path.with_stem(name))
    path.write_text(text)
    environment = {
        **os.environ,
        "HOME": str(folder),
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "TRACKIO_DIR": str(folder / "trackio"),
        "WANDB_MODE": "offline",
    }
    command = [sys.executable, "-m", "spillover", "run", str(path), "--store", "store", "--threads", "1"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    logs = [json.loads(path.read_text()) for path in (folder / "store").rglob("training.json")]
    return done, logs[0] if logs else {}


def tensorboard_kept(folder: Path) -> Kept:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    (run,) = (path.parent for path in (folder / "store" / "tracking").rglob("events.*") if path.parent.name == "0")
    events = EventAccumulator(str(run)).Reload()
    series = {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}
    (beside,) = (path.parent for path in run.glob("*/events.*"))
    plugin = EventAccumulator(str(beside)).Reload().SummaryMetadata("_hparams_/session_start_info").plugin_data
    told = HParamsPluginData.FromString(plugin.content).session_start_info.hparams
    settings = {name: getattr(value, str(value.WhichOneof("kind"))) for name, value in told.items()}
    project, name = run.relative_to(folder / "store" / "tracking").as_posix().split("/", maxsplit=1)
    return Kept(project, name, series, settings)


def mlflow_kept(folder: Path) -> Kept:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    (experiment,) = (found for found in client.search_experiments() if found.name != "Default")
    runs = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    assert {run.info.status for run in runs.values()} == {"FINISHED"}
    page = client.download_artifacts(runs.pop("report").info.run_id, "report/index.html", str(folder))
    assert Path(page).read_bytes() == next(folder.glob("report/*/index.html")).read_bytes()
    (run,) = runs.values()
    series = {
        name: [(value.step, value.value) for value in client.get_metric_history(run.info.run_id, name)]
        for name in run.data.metrics
    }
    return Kept(experiment.name, str(run.info.run_name), series, dict(run.data.params))


def trackio_kept(folder: Path) -> Kept:
    (path,) = (folder / "trackio").glob("*.db")
    with sqlite3.connect(path) as database:
        rows = database.execute("SELECT run_name, step, metrics FROM metrics ORDER BY id").fetchall()
        ((config,),) = database.execute("SELECT config FROM configs").fetchall()
    series: Series = {}
    for _, step, values in rows:
        for name, value in json.loads(values).items():
            series.setdefault(name, []).append((step, value))
    (name,) = {row[0] for row in rows}
    return Kept(path.stem, name, series, json.loads(config))


def wandb_kept(folder: Path) -> Kept:
    from wandb.proto.wandb_internal_pb2 import Record

    kept = [
        [Record.FromString(content) for content in _logged(path.read_bytes())]
        for path in folder.glob("wandb/offline-run-*/run-*.wandb")
    ]
    named = {record.run.display_name: records for records in kept for record in records if record.HasField("run")}
    assert any(record.HasField("artifact") for record in named.pop("report"))
    (records,) = named.values()
    series: Series = {}
    for record in records:
        values = {".".join(item.nested_key) or item.key: item.value_json for item in record.history.item}
        for name in NAMES:
            if name in values:
                series.setdefault(name, []).append((record.history.step.num, json.loads(values[name])))
    (run,) = (record.run for record in records if record.HasField("run"))
    changes = [*run.config.update, *(item for record in records for item in record.config.update)]
    settings = {item.key or ".".join(item.nested_key): json.loads(item.value_json) for item in changes}
    return Kept(run.project, run.display_name, series, settings)


def _logged(content: bytes) -> list[bytes]:
    """Return the records of a LevelDB log: blocks of 32 KiB, in them parts of checksum, length, kind and bytes."""
    assert content[:4] == b":W&B"
    found, record, place = [], b"", 7
    while place + 7 <= len(content):
        if (left := 32768 - place % 32768) < 7:
            place += left
            continue
        length, kind = struct.unpack_from("<HB", content, place + 4)
        record += content[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # whole, or the last part
            found.append(record)
            record = b""
    return found


KEPT = {"mlflow": mlflow_kept, "tensorboard": tensorboard_kept, "trackio": trackio_kept, "wandb": wandb_kept}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the packages, while they are read with
@pytest.mark.parametrize("tracker", KEPT)
def test_a_tracker_keeps_every_loss_rate_and_forgetting_of_a_training(tracker, tmp_path):
    pytest.importorskip(tracker)
    done, log = ask(tracker, tmp_path, name="it's_50%?")
    assert done.returncode == 0, done.stderr
    kept = KEPT[tracker](tmp_path)
    assert (kept.project, kept.name) == ("it-s_50--", "fticl/first/16/0")
    losses = list(enumerate(log["losses"], start=1))
    assert len(losses) == 4
    assert [entry["step"] for entry in log["forgetting"]] == [0, 2, 4]
    expected = {
        "loss": losses,
        "learning_rate": [(1, 0.01), (2, 0.0075), (3, 0.005), (4, 0.0025)],
        **{name: [(entry["step"], entry[name]) for entry in log["forgetting"]] for name in NAMES[2:]},
    }
    assert kept.series.keys() == expected.keys()
    for name, values in expected.items():
        assert [step for step, _ in kept.series[name]] == [step for step, _ in values]
        # TensorBoard keeps single precision.
        assert [value for _, value in kept.series[name]] == pytest.approx([value for _, value in values], rel=1e-6)
    settings = {name: float(kept.settings[name]) for name in ("size", "training.learning_rate")}
    assert settings == {"size": 16, "training.learning_rate": 0.01}
    assert kept.settings["recipe.parameters.kind"] == "full"
