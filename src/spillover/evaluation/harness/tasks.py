"""lm-eval's own tasks for a study: found by name, described, and refused where models cannot be compared on them."""

from __future__ import annotations

import hashlib
import inspect
import io
import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spillover.errors import SpilloverError, UserError, unknown_name
from spillover.evaluation.harness.aggregations import COMBINE

if TYPE_CHECKING:
    from lm_eval.api.task import ConfigurableTask
    from lm_eval.tasks import TaskManager

PREFIX = "lm-eval/"
"""What a study's name of such a task begins with."""
FAMILY = "lm-eval"
"""Of a task that the study gives none: every variant was trained on something else."""
FIRST_SEED = 1234
"""lm-eval's own default for few-shot sampling, so that seed 0 of a study shows what its command line shows."""


@contextmanager
def at_work(name: str, *, fault: type[SpilloverError] = UserError) -> Iterator[None]:
    """Let lm-eval and the code of a task work: in silence, from lm-eval's own seeds, any error as one line.

    Args:
        name: The task, for the error.
        fault: What is raised in place of the error.
    """
    state, array_state = random.getstate(), np.random.get_state()
    random.seed(0)
    np.random.seed(FIRST_SEED)
    try:
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            yield
    except SpilloverError:
        raise
    except Exception as error:  # a task is foreign code that may raise anything
        reason = " ".join(str(error).split())[:200]
        raise fault(
            f"{name}: lm-eval fails with {type(error).__name__}: {reason}; check the task and its data"
        ) from error
    finally:
        random.setstate(state)
        np.random.set_state(array_state)


@dataclass(frozen=True, eq=False)
class HarnessTask:
    """A task of lm-eval, its rows loaded."""

    name: str
    """``lm-eval/NAME``."""
    family: str
    task: ConfigurableTask

    @property
    def domain(self) -> str:
        """The task is a domain of its own within its family."""
        return self.name

    @cached_property
    def fixed_shots(self) -> int | None:
        """The shot count the task itself sets; None where it leaves the choice."""
        if self.task.OUTPUT_TYPE == "loglikelihood_rolling":
            return 0
        count = self.task.get_config("num_fewshot")
        return None if count is None else int(count)

    @cached_property
    def demonstration_count(self) -> int:
        """Rows that can be shown; 0 where they would be the tested rows themselves and lm-eval does not part them."""
        config, shown = self.task.config, self.task.config.fewshot_config
        tested_split = config.test_split or config.validation_split
        own_rows = shown.samples if shown.split is None else None
        shown_split = shown.split or config.training_split or config.validation_split or config.test_split
        sampler = getattr(self.task, "sampler", None)
        if sampler is None or not sampler.df:
            return 0
        count = len(sampler.fewshot_indices or sampler.df)
        if own_rows is not None or shown_split != tested_split:
            return count
        return count - 1 if shown.split == config.test_split else 0

    @cached_property
    def aggregations(self) -> Mapping[str, str]:
        """Metric to the name of its aggregation; the name is empty where it is not a function of sums over items."""
        from lm_eval.api import metrics

        functions = {getattr(metrics, name): name for name in COMBINE}
        return {metric: functions.get(function, "") for metric, function in self.task.aggregation().items()}

    @property
    def left_out(self) -> tuple[str, ...]:
        """A sentence for every metric that cannot be compared item by item."""
        return tuple(
            f"{self.name}: metric {metric}: its aggregation is not a function of sums over items"
            for metric, aggregation in self.aggregations.items()
            if not aggregation
        )

    @property
    def may_enter_means(self) -> bool:
        """Whether some metric is a mean that is better when higher, as only such enter means over tasks."""
        better = self.task.higher_is_better()
        return any(name == "mean" and better.get(metric, True) for metric, name in self.aggregations.items())

    @cached_property
    def settings(self) -> Mapping[str, object]:
        """The resolved configuration as plain data; code is stood for by its file's digest.

        Raises:
            UserError: A setting has no stable bytes.
        """
        config = asdict(self.task.config)
        # Where the file lies, and what study and lm-eval say of the run, is nothing of the task.
        config["metadata"] = {k: v for k, v in (config.get("metadata") or {}).items() if k != "config_source"}
        config["num_fewshot"] = self.fixed_shots
        return {"class": self._plain(type(self.task), "class"), **self._plain_items(config, "")}

    def _plain_items(self, items: Mapping[Any, object], where: str) -> dict[str, object]:
        return {str(key): self._plain(value, f"{where}{key}") for key, value in items.items()}

    def _plain(self, value: object, where: str) -> object:
        if value is None or isinstance(value, bool | int | float | str):
            return value
        if isinstance(value, Mapping):
            return self._plain_items(value, f"{where}.")
        if isinstance(value, list | tuple):
            return [self._plain(item, f"{where}[{index}]") for index, item in enumerate(value)]
        try:
            file = inspect.getsourcefile(value)  # type: ignore[arg-type]
            if file:
                return {"code": getattr(value, "__qualname__", ""), "file": _file_digest(Path(file))}
        except (TypeError, OSError):
            pass
        raise UserError(
            f"{self.name}: its setting {where} is a {type(value).__name__}, which has no stable bytes; "
            "use plain data or a function of a file"
        )


def _file_digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def load_tasks(families: Mapping[str, str], folders: Sequence[Path]) -> list[HarnessTask]:
    """Load tasks with their rows.

    Args:
        families: Task, ``lm-eval/NAME``, to the family a study gives it; empty for none.
        folders: Where a user's own tasks are looked for, before lm-eval's.

    Raises:
        UserError: lm-eval is not installed, or a task is unknown, a group, or one that models cannot be compared on.
    """
    names = [name.removeprefix(PREFIX) for name in families]
    manager = _manager(names, folders)
    found = []
    for name, (full_name, family) in zip(names, families.items(), strict=True):
        _refuse_unless_task(name, manager)
        with at_work(full_name):
            (task,) = manager.load([name])["tasks"].values()
        found.append(HarnessTask(full_name, family or FAMILY, task))
        _refuse_incomparable(found[-1])
    return found


def _manager(names: Sequence[str], folders: Sequence[Path]) -> TaskManager:
    try:
        from lm_eval.tasks import TaskManager
    except ImportError as error:
        raise UserError(
            f"test_on lists {PREFIX}{names[0]}, but lm-eval is not installed ({error}); "
            "run: pip install 'spillover[harness]'"
        ) from None
    for folder in folders:
        if not folder.is_dir():
            raise UserError(f"lm_eval_include: {folder} is no folder; give the folder that holds the tasks' YAML files")
    paths = [str(folder) for folder in folders]
    with at_work("lm_eval_include"):
        local = TaskManager(include_path=paths, include_defaults=False)
        if all(name in local.task_index for name in names):
            return local
        return TaskManager(include_path=paths)  # reads thousands of files


def _refuse_unless_task(name: str, manager: TaskManager) -> None:
    entry = manager.task_index.get(name)
    if entry is None:
        raise unknown_name("task of lm-eval", name, manager.all_subtasks)
    if entry.kind.name == "TAG":
        members = sorted(entry.tags)
    elif entry.kind.name == "GROUP":
        listed: Any = (entry.cfg or {}).get("task") or []
        members = [str(item.get("task") or item.get("group")) if isinstance(item, dict) else item for item in listed]
    else:
        return
    raise UserError(
        f"{PREFIX}{name} is a {entry.kind.name.lower()} of lm-eval; list the tasks you want of it in its place: "
        + ", ".join(f"{PREFIX}{member}" for member in members)
    )


def _refuse_incomparable(found: HarnessTask) -> None:
    from lm_eval.api.task import ConfigurableTask

    task, name = found.task, found.name
    if not isinstance(task, ConfigurableTask):
        raise UserError(
            f"{name} is written against lm-eval's older interface in Python; choose a task with a YAML file"
        )
    if getattr(task, "UNSAFE_CODE", False):
        raise UserError(f"{name} runs code that models write; a study never does, remove it from test_on")
    if getattr(task, "MULTIMODAL", False):
        raise UserError(f"{name} shows images or plays sound; a study asks text only, remove it from test_on")
    settings = task.config.generation_kwargs or {}
    if settings.get("do_sample", bool(float(settings.get("temperature", 0.0)))):
        raise UserError(
            f"{name} samples its answers; a study keeps what comes out the same again, set do_sample: false"
        )
    if not any(found.aggregations.values()):
        raise UserError(
            f"{name}: none of its metrics ({', '.join(found.aggregations)}) is a function of sums over items, so "
            "nothing of it can be compared with an interval; add one such as exact_match with aggregation mean"
        )
