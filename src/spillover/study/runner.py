"""Runs what is missing of a study, one step after the other, and says what it does."""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from spillover.errors import SpilloverError, UserError
from spillover.models.fingerprint import tensor_entries
from spillover.study.harness import AskHarness
from spillover.study.step import Adopt, Derive, Drift, Finetune, Predict, Prepare, Step
from spillover.study.study import Study
from spillover.study.validation import Validate
from spillover.training.parameters.full import Full

if TYPE_CHECKING:
    from spillover.evaluation.predict import EncodedCell
    from spillover.study.store import Store
    from spillover.study.work import Workshop

BYTES_A_WEIGHT = 4
"""Variants are kept in float32."""
BACKWARD = 3
"""Tokens of forward passes that one trained token costs: forward, and backward for inputs and weights."""
DECODE = 2
"""Tokens of packed passes that one decoded token costs, measured at 135M parameters on two cores."""
DECOMPOSE = 65
"""Multiply-adds of a forward pass that a drift step takes for each of `decomposition_cost`, its own passes over general
text included: 22 seconds of a processor at 135M parameters, of which those passes are more than half."""


class Observer(Protocol):
    """Is told how a run goes on. Work is counted in tokens of forward passes, so that an ETA follows from speed."""

    def planned(self, steps: Sequence[Step], work: float) -> None:
        """The steps that will be computed and their total work."""

    def started(self, step: Step) -> None:
        """A step begins."""

    def advanced(self, step: Step, share: float) -> None:
        """A share 0..1 of the step is done."""

    def noted(self, step: Step, note: str) -> None:
        """A step says something on its way, such as what training has forgotten so far."""

    def finished(self, step: Step, work: float) -> None:
        """A step is done or given up; ``work`` is what was planned for it."""

    def failed(self, step: Step, error: Exception) -> None:
        """A step failed; the steps that need it will not run."""


@dataclass(slots=True)
class Outcome:
    """What a run did."""

    computed: list[Step] = field(default_factory=list)
    failed: list[tuple[Step, str]] = field(default_factory=list)
    """Steps that failed or could not be run because one they need failed, and why."""


def missing_steps(study: Study, store: Store) -> list[Step]:
    """Return the steps that are not finished, inputs first."""
    return [step for step in study.steps if not store.has(step.kind, step.key)]


def run_study(study: Study, store: Store, workshop: Workshop, observer: Observer) -> Outcome:
    """Compute whatever is missing.

    Every row is read, rendered and encoded before the first step is written, so that a mistake in the data is found
    before compute is spent. A step that fails takes down only the steps that need it.

    Raises:
        UserError: If the data, the prompts or the disk cannot serve the study; nothing has been written then.
    """
    return run_steps(study, missing_steps(study, store), store, workshop, observer)


def run_steps(study: Study, missing: Sequence[Step], store: Store, workshop: Workshop, observer: Observer) -> Outcome:
    """Compute some steps of a study, inputs first, as `run_study` does.

    A step that another process is computing, and what needs it, is put off until nothing else is left to do.
    """
    work = {step.key: step_work(step, workshop) for step in missing}
    _check_disk(study, store, missing)
    observer.planned(missing, sum(work.values()))
    outcome, lost, wait = Outcome(), set[str](), False
    left = {step.key: step for step in missing}
    while left:
        before = len(left)
        for step in list(left.values()):
            sources = step.inputs().values()
            broken = [source for source in sources if source.key in lost]
            if broken:
                lost.add(step.key)
                outcome.failed.append((step, f"needs a step that failed: {broken[0].label}"))
            elif any(source.key in left for source in sources) or not _attempt(
                step, store, workshop, observer, outcome, lost, wait=wait
            ):
                continue
            wait = False
            del left[step.key]
            observer.finished(step, work[step.key])
        wait = len(left) == before
    return outcome


def _attempt(
    step: Step, store: Store, workshop: Workshop, observer: Observer, outcome: Outcome, lost: set[str], *, wait: bool
) -> bool:
    """Compute a step, or note why it failed; return False where another process is at it."""

    def fill(folder: Path) -> Mapping[str, Any]:
        observer.started(step)
        provenance = workshop.compute(
            step, folder, lambda share: observer.advanced(step, share), lambda note: observer.noted(step, note)
        )
        outcome.computed.append(step)
        return provenance

    try:
        return store.write(step.kind, step.key, fill, fields=step.fields(), wait=wait)
    except UserError:
        raise
    except (SpilloverError, RuntimeError, MemoryError) as error:  # torch reports exhausted memory as RuntimeError
        lost.add(step.key)
        outcome.failed.append((step, f"{type(error).__name__}: {error}"))
        observer.failed(step, error)
        return True


def step_work(step: Step, workshop: Workshop) -> float:
    """Check a step's data and return its work in tokens of forward passes."""
    match step:
        case Prepare():
            workshop.prepared(step)
            return 1.0
        case Finetune():
            workshop.check_training(step)
            rows, _ = workshop.training_rows(step)
            own = sum(len(row) - rows.shared_prefix_length for row in rows.rows)
            steps = step.settings.step_count(len(rows.rows))
            own_of_step = own * step.settings.batch_size / len(rows.rows)
            return BACKWARD * steps * (own_of_step + rows.shared_prefix_length)
        case Adopt():
            workshop.check_adopted(step)
            return 1.0
        case Predict():
            encoded, _ = workshop.encoded_cell(step)
            card = encoded.card()
            own = sum(len(prompt) - card.shared_prefix_token_count for prompt in encoded.prompts)
            return card.shared_prefix_token_count + own + DECODE * decoded_token_count(encoded)
        case AskHarness():
            return step.asked.token_count
        case Validate():
            return float(sum(map(len, workshop.validation_rows(step).rows)))
        case Drift():
            return _drift_work({entry.name: entry.shape for entry in tensor_entries(step.variant.base.path)})
        case _:
            return 1.0


def _drift_work(shapes: Mapping[str, tuple[int, ...]]) -> float:
    """Return the work of comparing two models' weights, in tokens: a token is one multiply-add a weight."""
    from spillover.training.drift.spectrum import decomposition_cost

    return DECOMPOSE * decomposition_cost(shapes) / sum(math.prod(shape) for shape in shapes.values())


def decoded_token_count(cell: EncodedCell) -> float:
    """Return about how many tokens a cell will generate: answers end at half of their limit."""
    return 0 if cell.choices else len(cell.prompts) * cell.asked.max_new_tokens / 2


def disk_bytes(study: Study, missing: Sequence[Step]) -> int:
    """Return about how many bytes the missing steps will write; nearly all of it is weights."""
    making = [step for step in missing if isinstance(step, Finetune | Derive)]
    if not making:
        return 0
    shapes = {entry.name: entry.shape for entry in tensor_entries(study.base.path)}
    return sum(_saved_weight_count(step, shapes) for step in making) * BYTES_A_WEIGHT


def _saved_weight_count(step: Finetune | Derive, shapes: Mapping[str, tuple[int, ...]]) -> int:
    parameters = step.trained.recipe.parameters if step.saves_adapter else Full()
    return parameters.saved_weight_count(shapes)


def _check_disk(study: Study, store: Store, missing: Sequence[Step]) -> None:
    wanted = disk_bytes(study, missing)
    place = next(folder for folder in (store.root, *store.root.absolute().parents) if folder.exists())
    free = shutil.disk_usage(place).free
    if wanted > free:
        raise UserError(
            f"the store {store.root} needs about {wanted / 1e9:.1f} GB for weights, its disk has {free / 1e9:.1f} GB "
            "free; free space, choose another disk with --store, or train fewer variants"
        )
