"""How each kind of step is computed, and what is kept in memory between steps."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spillover.errors import UserError
from spillover.models.memory import give_back_memory
from spillover.records import FlipFloor, Prediction
from spillover.study import files
from spillover.study.adoption import check_adopted
from spillover.study.harness import AskHarness, ScoreHarness, write_answers, write_scores
from spillover.study.identity import digest
from spillover.study.kept_weights import ADAPTER, WEIGHTS, kept_weights, variant_fingerprint
from spillover.study.step import Adopt, Derive, Drift, Finetune, Predict, Prepare, Score, Step, Variant
from spillover.study.store import Store
from spillover.study.study_rows import StudyRows
from spillover.study.validation import VALIDATION, Validate, validation_loss

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from spillover.evaluation.predict import EncodedCell
    from spillover.models.adapters import TrainedAdapter
    from spillover.models.loaded import LoadedModel
    from spillover.training.checkpoints import Checkpoints
    from spillover.training.tracking import TrackedTraining, Tracking

    Trained = tuple[PreTrainedModel, TrainedAdapter | None, dict[str, Any]]

Advance = Callable[[float], None]
"""Called with the share of the current step that is done, 0..1."""

Tell = Callable[[str], None]
"""Called with what is worth knowing of the current step while it runs."""
SECONDS_BETWEEN_CHECKPOINTS = 300.0
"""Of training that a killed run may lose."""


class Workshop(StudyRows):
    """Computes steps into folders; keeps rows, token ids and the loaded model so that the next step need not.

    Args:
        store: Where finished inputs are read from.
        device: Where models run; never part of a step's identity.
        notice: Called with what is worth saying on the way.
        announce: Called with a step's key before it is trained, where other processes take part in training.
        tracking: Where trainings can be followed, if anywhere; never part of a step's identity.
        shards: Whether other processes take part in training and the model is split over them.
    """

    def __init__(
        self,
        store: Store,
        *,
        device: str = "cpu",
        notice: Callable[[str], None] | None = None,
        announce: Callable[[str], None] | None = None,
        tracking: Tracking | None = None,
        shards: bool = False,
    ) -> None:
        super().__init__(store, notice=notice)
        self._device = device
        self._announce = announce
        self._tracking = tracking
        self._shards = shards
        self._loaded: LoadedModel | None = None

    def compute(self, step: Step, folder: Path, advance: Advance, tell: Tell | None = None) -> Mapping[str, Any]:
        """Write a step's files into ``folder`` and return how, when and on what it was computed."""
        wall, cpu, started = time.monotonic(), time.process_time(), time.time()
        match step:
            case Prepare():
                files.write_prepared(folder / files.ROWS, self.prepared(step))
            case Finetune():
                self._finetune(step, folder, advance, tell)
            case Derive():
                self._derive(step, folder)
            case Adopt():
                self._adopt(step, folder)
            case Predict():
                self._predict(step, folder, advance)
            case Score():
                self._score(step, folder)
            case Validate():
                self._validate(step, folder)
            case Drift():
                self._drift(step, folder)
            case AskHarness():
                write_answers(step, self._model(step), folder)
            case ScoreHarness():
                write_scores(step, self._store, folder)
            case _:
                raise TypeError(f"{type(step).__name__} is not a kind of step")
        if isinstance(step, Finetune | Derive | Drift):
            give_back_memory()
        return {
            "label": step.label,
            "started": started,
            "duration_seconds": time.monotonic() - wall,
            "cpu_seconds": time.process_time() - cpu,
            "device": self._device,
            **machine(),
        }

    def check_adopted(self, step: Adopt) -> None:
        """Refuse a variant trained elsewhere that does not fit its base, or is it."""
        check_adopted(step)

    def check_training(self, step: Finetune) -> None:
        """Refuse a training that this machine, or the rows which its recipe mixes in, cannot serve, with UserError."""
        from spillover.training.optimizers import require_bitsandbytes
        from spillover.training.sharding import needs_whole_tensors

        if self._shards and (part := needs_whole_tensors(step.recipe, step.settings)):
            raise UserError(
                f"variant {step.name!r}: {part} needs whole tensors, FSDP splits them over processes; launch with "
                "--multi_gpu instead of --use_fsdp, or leave it out"
            )
        if step.settings.optimizer != "adamw":
            require_bitsandbytes(f"{step.name}: training.optimizer {step.settings.optimizer}", self._device)
        if bits := step.recipe.parameters.base_bits:
            require_bitsandbytes(f"{step.name}: parameters.bits {bits}", self._device)
        if fault := step.recipe.constraint.fault(self._material(step), step.settings.batch_size):
            raise UserError(f"variant {step.name!r}: {fault}")

    def take_part(self, step: Finetune) -> None:
        """Train a variant together with the process that leads, and keep nothing."""
        self._train(step)

    def _finetune(self, step: Finetune, folder: Path, advance: Advance, tell: Tell | None) -> None:
        train = self._train_leading if self._announce else self._train
        model, adapter, facts = train(step, advance, tell)
        if adapter:
            adapter.save(folder / ADAPTER, base_name=step.base.name)
        else:
            self._save(model, step, folder)
        when = f"after {facts['step_count']} steps: nothing was learnt; raise training.learning_rate or sizes"
        fingerprint = variant_fingerprint(step, folder, when)
        self._checkpoints(step).remove()
        files.write_json(folder / "training.json", {**facts, "fingerprint": fingerprint})

    def _train_leading(self, step: Finetune, advance: Advance, tell: Tell | None) -> Trained:
        """Train together with other processes; what stops this one alone, such as its memory, ends all of them."""
        assert self._announce
        self._announce(step.key)
        try:
            return self._train(step, advance, tell)
        except (RuntimeError, MemoryError) as error:
            if self._notice:
                self._notice(f"failed: {step.label}: {error}; the same command goes on from the last checkpoint")
            raise SystemExit(1) from error

    def _train(self, step: Finetune, advance: Advance | None = None, tell: Tell | None = None) -> Trained:
        """Return a trained model, its adapter where it has one, and the facts of its training."""
        from spillover.models.load import load_model
        from spillover.training.general_text import general_rows
        from spillover.training.probe import Watch
        from spillover.training.sharding import sharded
        from spillover.training.stages import fit_stages

        self._loaded = None
        rows, dropped = self.training_rows(step)
        bits = step.recipe.parameters.base_bits
        device = "cpu" if self._shards else self._device  # no device has to hold what is split
        model = load_model(step.base.path, dtype="float32", device=device, bits=bits)
        adapter = step.recipe.parameters.select(model, seed=step.seed)
        split = sharded(model, self._device) if self._shards else nullcontext(model)
        with split as trained, self._tracked(step) as tracked:
            log = fit_stages(
                trained,
                rows,
                step.settings,
                seed=step.seed,
                precision=step.precision,
                constraint=step.recipe.constraint.build(self._material(step)),
                watch=Watch(general_rows(self._encoder(step.base.path)), step.watch, tell) if step.watch else None,
                checkpoints=self._checkpoints(step),
                tracked=tracked,
                progress=(lambda done, count, _: advance(done / count)) if advance else None,
            )
        facts = {"rows": len(rows.rows), "dropped": dropped, "shared_prefix_token_count": rows.shared_prefix_length}
        return model, adapter, {**asdict(log), **facts}

    def _tracked(self, step: Finetune) -> AbstractContextManager[TrackedTraining | None]:
        if not self._tracking:
            return nullcontext()
        settings = {
            "base": step.base.name,
            "trained_on": step.trained_on.name,
            "size": step.size,
            "seed": step.seed,
            "precision": step.precision,
            "recipe": step.recipe.model_dump(mode="json"),
            "training": step.settings.model_dump(mode="json"),
        }
        return self._tracking.training(step.variant, settings)

    def _checkpoints(self, step: Finetune) -> Checkpoints:
        from spillover.training.checkpoints import Checkpoints

        return Checkpoints(self._store.root / "checkpoints" / step.key, seconds=SECONDS_BETWEEN_CHECKPOINTS)

    def _derive(self, step: Derive, folder: Path) -> None:
        from spillover.models.adapters import write_scaled
        from spillover.training.derive import change_weights

        scale, trained = step.change.update_scale, step.trained
        if step.saves_adapter and scale is not None:
            write_scaled(self._weights(trained), scale, folder / ADAPTER)
        else:
            self._loaded = None
            model = self._whole_model(trained)
            change_weights(model, step.base.path, step.change)
            self._save(model, step, folder)
        fingerprint = variant_fingerprint(
            step, folder, f"at {step.change.suffix}: choose a value that keeps some of the update"
        )
        files.write_json(folder / "derived.json", {"fingerprint": fingerprint})

    def _adopt(self, step: Adopt, folder: Path) -> None:
        self.check_adopted(step)
        files.write_json(folder / "adopted.json", {"path": str(step.adopted.path), **step.fields()})

    def _save(self, model: PreTrainedModel, step: Variant, folder: Path) -> None:
        from spillover.models.load import load_tokenizer, quiet_transformers

        with quiet_transformers():
            model.save_pretrained(folder / WEIGHTS)
        load_tokenizer(step.base.path).save_pretrained(folder / WEIGHTS)

    def _whole_model(self, step: Variant) -> PreTrainedModel:
        """Return a variant in float32, an adapter merged into its base."""
        from spillover.models.adapters import load_merged
        from spillover.models.load import load_model

        path = self._weights(step)
        if step.saves_adapter:
            return load_merged(step.base.path, path)
        return load_model(path, dtype="float32", device="cpu")

    def _predict(self, step: Predict, folder: Path, advance: Advance) -> None:
        from spillover.evaluation.predict import Rows, predict
        from spillover.study.partial import PartialCell

        encoded, dropped = self.encoded_cell(step)
        loaded = self._model(step)
        # Rounding may differ between machines, and a cell's provenance names one: another one starts the cell anew.
        identity = digest(
            [encoded.prompts, encoded.choices, encoded.content_free, encoded.premise, self._device, machine()]
        )
        partial = PartialCell(
            self._store.root / "checkpoints" / step.key, identity=identity, row_count=encoded.row_count
        )

        def keep(rows: Rows) -> None:
            partial.add(rows)
            advance(partial.share)

        known, encoder = dict(partial.rows), self._own_encoder(step)
        predictions = predict(loaded.model, encoded, encoder, loaded.prefixes, known=known, keep=keep)
        files.write_predictions(folder / files.PREDICTIONS, predictions)
        files.write_prompt(folder / "prompt.json", encoded.card())
        if step.variant is None:  # every variant is asked the same
            files.write_prompt_ids(folder / files.PROMPT_IDS, encoded.prompts)
        facts: dict[str, object] = {"dropped": dropped, "item_count": len(predictions)}
        if step.checked_count and (floor := self._flip_floor(step, loaded.model, encoded, predictions)):
            facts["flip_floor"] = asdict(floor)
        files.write_json(folder / "facts.json", facts)
        partial.remove()

    def _flip_floor(
        self, step: Predict, model: PreTrainedModel, cell: EncodedCell, predictions: Sequence[Prediction]
    ) -> FlipFloor | None:
        """Compare with exact arithmetic, where memory allows; in float32 more than rounding is a fault of ours."""
        from spillover.evaluation.exactness import check_exact, flip_floor
        from spillover.models.exact import in_float32

        exact = in_float32(model)
        if exact is None:
            return None
        end_token_id = self._own_encoder(step).end_token_id
        floor = flip_floor(exact, cell, predictions, end_token_id=end_token_id, item_count=step.checked_count)
        if step.precision == "float32":
            check_exact(floor, where=step.label)
        return floor

    def _score(self, step: Score, folder: Path) -> None:
        from spillover.evaluation.metrics import statistics

        source = step.predictions
        predictions = files.read_predictions(self._store.file(source.kind, source.key, files.PREDICTIONS))
        values = {metric: statistics(metric, predictions, step.rule) for metric in step.metrics}
        ids = [prediction.example_id for prediction in predictions]
        files.write_statistics(folder / "statistics.json", ids, values)

    def _drift(self, step: Drift, folder: Path) -> None:
        from spillover.models.load import load_model
        from spillover.training.drift.measure import measure_drift

        base = load_model(step.variant.base.path, dtype="float32", device="cpu")
        tuned = self._whole_model(step.variant)
        files.write_json(folder / "drift.json", measure_drift(tuned, base, self._encoder(step.variant.base.path)))

    def _validate(self, step: Validate, folder: Path) -> None:
        model = self._whole_model(step.variant)
        files.write_json(folder / VALIDATION, validation_loss(model, self.validation_rows(step)))

    def _model(self, step: Predict | AskHarness) -> LoadedModel:
        """Return the model a step asks: the one at hand with other weights, or with another adapter.

        A whole model that was trained elsewhere is loaded apart, since its settings may differ from the base's.
        """
        from spillover.models.loaded import LoadedModel

        path = self._weights(step.variant) if step.variant else step.base.path
        is_adapter = step.variant is not None and step.variant.saves_adapter
        stands_alone = isinstance(step.variant, Adopt) and not is_adapter
        base = path if stands_alone else step.base.path
        if self._loaded is None or self._loaded.base != base:
            self._loaded = None  # or two would be in memory for a while
            self._loaded = LoadedModel(base, dtype=step.precision, device=self._device)
        if is_adapter:
            self._loaded.use(base, path)
        else:
            self._loaded.use(path)
        return self._loaded

    def _weights(self, step: Variant) -> Path:
        return kept_weights(self._store, step)


@cache
def machine() -> Mapping[str, Any]:
    """Return what a number's rounding may depend on besides its step: versions and processor."""
    packages = ("spillover", "torch", "transformers", "accelerate", "peft", "tokenizers", "numpy")
    return {
        "versions": {"python": platform.python_version(), **{name: version(name) for name in packages}},
        "processor": platform.processor() or platform.machine(),
        "cpu_count": os.cpu_count(),
    }
