"""Tasks of lm-eval as steps of a study: asked through our engine, scored by lm-eval's own code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from spillover.errors import UserError, unknown_name
from spillover.evaluation.harness.asked import HarnessCell, HarnessScores, Response, harness_cell
from spillover.evaluation.harness.tasks import FAMILY, PREFIX, HarnessTask, load_tasks
from spillover.models.precision import Precision
from spillover.models.spec import ResolvedModel
from spillover.records import BASE, Cell, FlipFloor, Prediction
from spillover.study import files
from spillover.study.identity import digest
from spillover.study.step import Step, Variant
from spillover.study.store import Store

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from spillover.models.loaded import LoadedModel

RESPONSES = "responses.json"
RULES = "metrics.json"


@dataclass(frozen=True)
class AskHarness(Step):
    """Ask one model everything of one cell of an lm-eval task."""

    kind: ClassVar[str] = "lm-eval-predict"
    version: ClassVar[int] = 1
    base: ResolvedModel
    variant: Variant | None
    """None asks the base itself."""
    asked: HarnessCell
    precision: Precision
    checked_count: int = 0
    """Items that are also computed in exact arithmetic; changes no answer, so it is not part of the key."""

    @property
    def model(self) -> str:
        """The id of the model that is asked."""
        return self.variant.variant if self.variant else BASE

    @property
    def cell(self) -> Cell:
        """Where it is asked."""
        return self.asked.cell

    @property
    def label(self) -> str:
        return f"ask {self.model} {self.cell.tested_on} at {self.cell.shots} shots"

    @cached_property
    def _fields(self) -> Mapping[str, Any]:
        return {
            "base": self.base.fingerprint,
            "tokenizer": self.base.tokenizer_fingerprint,
            "precision": self.precision,
            "lm_eval": version("lm-eval"),
            "task": digest(self.asked.task.settings),
            **self.asked.digests,
        }

    def fields(self) -> Mapping[str, Any]:
        return self._fields

    def inputs(self) -> Mapping[str, Step]:
        return {"variant": self.variant} if self.variant else {}


@dataclass(frozen=True)
class ScoreHarness(Step):
    """Turn the answers of one cell of an lm-eval task into per-item statistics of its metrics."""

    kind: ClassVar[str] = "lm-eval-score"
    version: ClassVar[int] = 1
    predictions: AskHarness

    @property
    def label(self) -> str:
        return f"score {self.predictions.model} {self.predictions.cell.tested_on}"

    def fields(self) -> Mapping[str, Any]:
        return {}

    def inputs(self) -> Mapping[str, Step]:
        return {"predictions": self.predictions}


def harness_tasks(
    families: Mapping[str, str], *, known_families: Sequence[str], folders: Sequence[Path], where: str
) -> list[HarnessTask]:
    """Load the lm-eval tasks that a study tests on.

    Args:
        families: Task, ``lm-eval/NAME``, to the family the study gives it; empty for none.
        known_families: Those of the suite.
        folders: Where a user's own tasks are.
        where: Begins an error's line.

    Raises:
        UserError: A family or a task is unknown, or a task cannot be compared on.
    """
    for name, family in families.items():
        if family and family not in (FAMILY, *known_families):
            raise UserError(f"{where}: test_on: {name}: {unknown_name('family', family, known_families)}")
    return load_tasks(families, folders) if families else []


def harness_cells(
    tasks: Sequence[HarnessTask],
    *,
    shots: Sequence[int] | None,
    limits: Mapping[str, int],
    demonstration_seeds: Sequence[int],
) -> tuple[tuple[HarnessCell, ...], tuple[str, ...]]:
    """Return every cell of the tasks, and a sentence for whatever was asked for and is left out.

    Args:
        tasks: Loaded tasks.
        shots: Wanted shot counts; None takes each task's own, or 0.
        limits: Task to documents at the most.
        demonstration_seeds: Of cells with demonstrations.
    """
    cells: list[HarnessCell] = []
    skipped: list[str] = []
    for task in tasks:
        skipped += task.left_out
        fixed, held = task.fixed_shots, task.demonstration_count
        for count in shots or ():
            if fixed is not None and count != fixed:
                skipped.append(f"{task.name} at {count} shots: the task itself sets {fixed}")
            elif fixed is None and count > held:
                skipped.append(f"{task.name} at {count} shots: the task has {held} rows to show that it does not test")
        kept = [count for count in shots or (0,) if count <= held] if fixed is None else [fixed]
        for seed in demonstration_seeds:
            cells += [
                harness_cell(task, shots=count, demonstration_seed=seed, limit=limits[task.name])
                for count in sorted(kept)
                if count or seed == demonstration_seeds[0]
            ]
    return tuple(cells), tuple(skipped)


def write_answers(step: AskHarness, loaded: LoadedModel, folder: Path) -> None:
    """Ask a model and write its answers, as lm-eval takes them and in the terms of this package."""
    from spillover.evaluation.harness.lm import EngineLM
    from spillover.models.load import load_tokenizer

    lm = EngineLM(loaded.model, load_tokenizer(step.base.path))
    responses = step.asked.ask(lm)
    predictions = step.asked.predictions(responses)
    files.write_json(folder / RESPONSES, responses)
    files.write_predictions(folder / files.PREDICTIONS, predictions)
    files.write_prompt(folder / "prompt.json", step.asked.card(lm))
    facts: dict[str, object] = {"dropped": {}, "item_count": len(responses)}
    if step.checked_count and (floor := _flip_floor(step, loaded.model, predictions)):
        facts["flip_floor"] = asdict(floor)
    files.write_json(folder / "facts.json", facts)


def _flip_floor(step: AskHarness, model: PreTrainedModel, predictions: Sequence[Prediction]) -> FlipFloor | None:
    """Compare with exact arithmetic, where memory allows; in float32 more than rounding is a fault of ours."""
    from spillover.evaluation.exactness import check_exact
    from spillover.evaluation.harness.exactness import PlainLM, choice_flip_floor
    from spillover.models.exact import in_float32
    from spillover.models.load import load_tokenizer

    exact = in_float32(model)
    if exact is None:
        return None
    plain = PlainLM(exact, load_tokenizer(step.base.path))
    floor = choice_flip_floor(plain, step.asked, predictions, item_count=step.checked_count)
    if step.precision == "float32":
        check_exact(floor, where=step.label)
    return floor


def write_scores(step: ScoreHarness, store: Store, folder: Path) -> None:
    """Score a model's answers and write their statistics."""
    source = step.predictions
    rows = files.read_json(store.file(source.kind, source.key, RESPONSES))
    responses: list[list[Response]] = [
        [tuple(entry) if isinstance(entry, list) else entry for entry in row] for row in rows
    ]
    scores: HarnessScores = source.asked.scores(responses)
    ids = [item.id for item in source.asked.items]
    files.write_statistics(folder / "statistics.json", ids, scores.statistics)
    rules = {name: asdict(rule) for name, rule in scores.rules.items()}
    files.write_json(folder / RULES, {"rules": rules, "left_out": scores.left_out})


def is_harness_name(name: str) -> bool:
    """Whether a study's name of a task is one of lm-eval."""
    return name.startswith(PREFIX)
