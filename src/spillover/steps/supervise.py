"""The step that trains a classifier on a task's rows, and the one that judges those rows by models that saw others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from spillover.errors import SpilloverError, UserError
from spillover.evaluation.choice import Scoring
from spillover.evaluation.metrics import METRICS, statistics
from spillover.models.memory import give_back_memory
from spillover.models.spec import ResolvedModel
from spillover.prompts.demonstrations import text_of
from spillover.records import CALIBRATION_ERROR, Example, FloatArray
from spillover.steps.finetune import BACKWARD
from spillover.steps.outside import changed_model
from spillover.steps.prepare import Prepare
from spillover.steps.speed import Cost, Speed
from spillover.steps.step import Step, Told
from spillover.steps.supervise_variant import ClassifierVariant, predictions_of
from spillover.steps.variant import WEIGHTS
from spillover.steps.workshop import Workshop
from spillover.store import files
from spillover.store.store import Store
from spillover.tasks.prepare import Protocol, protocol_rows, training_rows
from spillover.tasks.task import Task
from spillover.training.supervised import (
    FEWEST_HELD_OUT,
    Supervised,
    fitted_temperature,
    folds,
    log_shares,
)

if TYPE_CHECKING:
    from spillover.training.supervised import Classifier, Texts

LOG, SHARES = "training.json", "shares.json"


@dataclass(frozen=True, slots=True)
class LabelledRows:
    """Rows of a task as a classifier sees them."""

    examples: tuple[Example, ...]
    labels: tuple[str, ...]

    @property
    def texts(self) -> list[Texts]:
        """The input fields of each."""
        return [tuple(example.fields.values()) for example in self.examples]

    @property
    def golds(self) -> list[int]:
        """The place of each row's label."""
        return [self.labels.index(example.target) for example in self.examples]

    def part(self, places: Sequence[int]) -> LabelledRows:
        """Return the rows at some places."""
        return LabelledRows(tuple(self.examples[place] for place in places), self.labels)


@dataclass(frozen=True, kw_only=True)
class Supervise(ClassifierVariant):
    """Train a classifier on a task's rows; rows behind those that it learns from say how sure it may be."""

    kind: ClassVar[str] = "supervise"
    version: ClassVar[int] = 1
    name: str
    base: ResolvedModel
    """Beside which it stands; not part of the key."""
    data: Prepare
    size: int
    seed: int
    """Of the choice of rows, and of the training."""
    protocol: Protocol
    settings: Supervised
    encoder: ResolvedModel | None = None
    """What it starts from; None where it starts from nothing."""

    @property
    def variant(self) -> str:
        """The variant's id: name/task/size/seed."""
        return f"{self.name}/{self.data.task.name}/{self.size}/{self.seed}"

    @property
    def trained_on(self) -> Task:
        return self.data.task

    @property
    def labels(self) -> tuple[str, ...]:
        return self.data.task.answers

    @property
    def label(self) -> str:
        return f"train classifier {self.variant}"

    def fields(self) -> Mapping[str, Any]:
        encoder = {"weights": self.encoder.fingerprint, **self.encoder.encoding_fields()} if self.encoder else None
        return {
            "settings": self.settings.training_identity(),
            "encoder": encoder,
            "labels": self.labels,
            "size": self.size,
            "seed": self.seed,
            "protocol": self.protocol,
        }

    def inputs(self) -> Mapping[str, Step]:
        return {"data": self.data}

    def recipe_card(self) -> dict[str, Any]:
        encoder = {"encoder": self.encoder.name} if self.encoder else {}
        return {"supervised": {**self.settings.identity(exclude={"folds"}), **encoder}}

    def outside_fault(self, cache: Path) -> str | None:
        return changed_model(self.encoder, cache) if self.encoder else None

    def weight_count(self, shapes: Mapping[str, tuple[int, ...]]) -> int:
        return self.encoder.parameter_count if self.encoder else 0

    def memory_bytes(self, shapes: Mapping[str, tuple[int, ...]]) -> int:
        return 16 * self.weight_count(shapes)  # float32 weights, their gradients and two moments

    @property
    def lightness(self) -> float:
        """What a token of it costs, in tokens of the base."""
        return self.encoder.parameter_count / self.base.parameter_count if self.encoder else 0.0

    def work(self, workshop: Workshop) -> float:
        self.settings.require()
        rows, held, _ = self.rows(workshop)
        tokens = BACKWARD * self.settings.trained_tokens(rows.texts) + self.settings.asked_tokens(held.texts)
        return max(1.0, self.lightness * tokens)

    def cost(self, work: float, workshop: Workshop, speed: Speed) -> Cost:
        return speed.trained_token * (work / BACKWARD) if self.encoder else Cost()

    def asked_work(self, rows: Sequence[Example]) -> float:
        return max(1.0, self.lightness * self.settings.asked_tokens(LabelledRows(tuple(rows), ()).texts))

    def rows(self, workshop: Workshop) -> tuple[LabelledRows, LabelledRows, dict[str, int]]:
        """Return the rows that are learnt, those behind them that set the temperature, and what was dropped.

        Raises:
            UserError: There are fewer rows than the size asks for, or all of them have one label.
        """
        prepared = self.data.rows(workshop)
        training_rows(prepared, self.size, seed=self.seed)  # says which sizes there are
        most = min(len(prepared.train), self.size + self.settings.calibration_rows)
        selected = training_rows(prepared, most, seed=self.seed)
        parts, dropped = [], dict[str, int]()
        for part in (selected[: self.size], selected[self.size :]):
            kept, reasons = protocol_rows(prepared, split="train", protocol=self.protocol, rows=part)
            known = tuple(row for row in kept if row.target in self.labels)
            dropped = dropped or {**reasons, "target is no answer": len(kept) - len(known)}
            parts.append(LabelledRows(known, self.labels))
        found = {row.target for row in parts[0].examples}
        if len(found) < 2:
            raise UserError(
                f"variant {self.name!r}: its {self.size} training rows of {self.data.task.name!r} have "
                f"{'the one label ' + repr(found.pop()) if found else 'no label'}; a classifier needs two: raise sizes"
            )
        return parts[0], parts[1], {reason: count for reason, count in dropped.items() if count}

    def fitted(
        self, rows: LabelledRows, workshop: Workshop, told: Told, *, share: tuple[float, float] = (0.0, 1.0)
    ) -> tuple[Classifier, list[float]]:
        """Return a classifier of some rows and its losses; ``share`` is the part of a step that this is."""
        begin, end = share
        return self.settings.fit(
            rows.texts,
            rows.golds,
            len(self.labels),
            encoder=self.encoder,
            seed=self.seed,
            device=workshop.device,
            progress=lambda done: told.advance(begin + done * (end - begin)),
        )

    def compute(self, folder: Path, workshop: Workshop, told: Told) -> None:
        workshop.let_go()
        rows, held, dropped = self.rows(workshop)
        classifier, losses = self.fitted(rows, workshop, told)
        temperature, calibration = 1.0, None
        if len(held.examples) >= FEWEST_HELD_OUT:
            logits = classifier.logits(held.texts)
            temperature = fitted_temperature(logits, held.golds)
            calibration = {
                "rows": len(held.examples),
                "accuracy": float(np.mean(logits.argmax(axis=1) == held.golds)),
                "ece_before": calibration_error(log_shares(logits, 1.0), held),
                "ece_after": calibration_error(log_shares(logits, temperature), held),
            }
        classifier.save(folder / WEIGHTS)
        found = {"rows": len(rows.examples), "dropped": dropped, "step_count": len(losses), "losses": losses}
        files.write_json(folder / LOG, {**found, "temperature": temperature, "calibration": calibration})
        del classifier
        give_back_memory()

    def log(self, store: Store) -> dict[str, Any]:
        """Return what the finished training did: ``rows``, ``dropped``, ``step_count``, ``losses`` (nats per row),
        ``temperature``, and ``calibration`` (``rows``, ``accuracy``, ``ece_before``, ``ece_after`` on held-out rows)
        or None where there were too few.
        """
        found: dict[str, Any] = files.read_json(store.file(self, LOG))
        return {
            **found,
            "duration_seconds": store.manifest(self)["provenance"]["duration_seconds"],
            "settings": self.settings.model_dump(mode="json"),
            "reads_general_text": False,
        }

    def asked_shares(self, rows: Sequence[Example], workshop: Workshop) -> FloatArray:
        store = workshop.store
        classifier = workshop.kept(
            (self.kind, self.key), lambda: self.settings.open(self.weights(store), device=workshop.device)
        )
        temperature = files.read_json(store.file(self, LOG))["temperature"]
        texts = [tuple(row.fields.values()) for row in rows]
        return np.exp(log_shares(classifier.logits(texts), temperature))

    @property
    def out_of_fold(self) -> OutOfFold:
        """The step that judges its training rows by models that did not see them."""
        return OutOfFold(self, self.settings.folds)

    def fair_inputs(self) -> Mapping[str, Step]:
        return {"classifier": self, "out of fold": self.out_of_fold}

    def shares_of(self, rows: Sequence[Example], workshop: Workshop) -> FloatArray:
        """Return what it says of rows; its own training rows are recognised by their text, whatever their task."""
        own = {text_of(row): place for place, row in enumerate(self.rows(workshop)[0].examples)}
        places = [own.get(text_of(row)) for row in rows]
        others = [row for row, place in zip(rows, places, strict=True) if place is None]
        found = np.empty((len(rows), len(self.labels)))
        if others:
            found[[place is None for place in places]] = self.asked_shares(others, workshop)
        if len(others) < len(rows):
            fair = self.out_of_fold.shares(workshop.store)
            found[[place is not None for place in places]] = fair[[place for place in places if place is not None]]
        return found


@dataclass(frozen=True)
class OutOfFold(Step):
    """Ask of each part of a classifier's training rows a classifier that was trained on the other parts alone."""

    kind: ClassVar[str] = "out-of-fold"
    version: ClassVar[int] = 1
    classifier: Supervise
    count: int
    """Parts."""

    @property
    def label(self) -> str:
        return f"judge training rows of {self.classifier.variant} out of fold"

    def fields(self) -> Mapping[str, Any]:
        return {"folds": self.count}

    def inputs(self) -> Mapping[str, Step]:
        return {"classifier": self.classifier, "data": self.classifier.data}

    def work(self, workshop: Workshop) -> float:
        rows, _, _ = self.classifier.rows(workshop)
        if len(rows.examples) < 2 * self.count:
            raise UserError(
                f"variant {self.classifier.name!r}: {len(rows.examples)} training rows are too few for {self.count} "
                "folds; raise sizes or lower supervised.folds"
            )
        return self.classifier.work(workshop) * (self.count - 1)  # so many fits, each on all parts but one

    def cost(self, work: float, workshop: Workshop, speed: Speed) -> Cost:
        return self.classifier.cost(work, workshop, speed)

    def outside_fault(self, cache: Path) -> str | None:
        return self.classifier.outside_fault(cache)

    def memory_bytes(self, shapes: Mapping[str, tuple[int, ...]]) -> int:
        return self.classifier.memory_bytes(shapes)

    def compute(self, folder: Path, workshop: Workshop, told: Told) -> None:
        workshop.let_go()
        rows, _, _ = self.classifier.rows(workshop)
        temperature = self.classifier.log(workshop.store)["temperature"]
        found = np.empty((len(rows.examples), len(rows.labels)))
        parts = folds(len(rows.examples), self.count, seed=self.classifier.seed)
        for index, part in enumerate(parts):
            left = sorted(set(range(len(rows.examples))) - set(part))
            others = rows.part(left)
            if len(set(others.golds)) < 2:
                raise UserError(f"{self.label}: the rows beside a fold have one label alone; lower supervised.folds")
            share = index / self.count, (index + 1) / self.count
            classifier, _ = self.classifier.fitted(others, workshop, told, share=share)
            found[part] = np.exp(log_shares(classifier.logits(rows.part(part).texts), temperature))
        files.write_json(folder / SHARES, found.tolist())
        give_back_memory()

    def shares(self, store: Store) -> FloatArray:
        """Return the finished shares of each training row ``(rows, labels)``, in the order of `Supervise.rows`.

        Raises:
            SpilloverError: They are not finished.
        """
        if not store.has(self):
            raise SpilloverError(f"{self.label}: not done; whoever asks this of training rows has it among its inputs")
        return np.array(files.read_json(store.file(self, SHARES)), dtype=np.float64)


def calibration_error(logs: FloatArray, rows: LabelledRows) -> float:
    """Return how far the shares of rows are from how often they are right."""
    made = statistics(CALIBRATION_ERROR, predictions_of(logs, rows.examples, rows.labels), Scoring(answers=rows.labels))
    return float(METRICS[CALIBRATION_ERROR].card.combine(made.sum(axis=0)))
