"""How each kind of step is computed, and what is kept in memory between steps."""

from __future__ import annotations

import os
import platform
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spillover.errors import SpilloverError, UserError
from spillover.models.fingerprint import weights_fingerprint
from spillover.prompts.demonstrations import choose
from spillover.prompts.encoding import Encoder
from spillover.prompts.template import Template, content_free_prompts, demonstrated_prompt, premise
from spillover.records import FlipFloor, Prediction
from spillover.study import files
from spillover.study.mixed import mixed_rows
from spillover.study.step import Derive, Drift, Finetune, Predict, Prepare, Score, Step, Variant
from spillover.study.store import Store
from spillover.study.validation import VALIDATION, Validate, validation_loss, validation_rows
from spillover.tasks.prepare import PreparedTask, prepare, protocol_rows, training_rows

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from spillover.evaluation.predict import EncodedCell
    from spillover.models.loaded import LoadedModel
    from spillover.training.constraints.constraint import Material
    from spillover.training.rows import TrainingRows

Advance = Callable[[float], None]
"""Called with the share of the current step that is done, 0..1."""

ROWS = "rows.json"
SECONDS_BETWEEN_CHECKPOINTS = 300.0
"""Of training that a killed run may lose."""
WEIGHTS, ADAPTER = "weights", "adapter"
"""Folders of a variant: a whole model, or an adapter of its base."""


class Workshop:
    """Computes steps into folders; keeps rows, token ids and the loaded model so that the next step need not.

    Args:
        store: Where finished inputs are read from.
        device: Where models run; never part of a step's identity.
        notice: Called with what is worth saying on the way.
    """

    def __init__(self, store: Store, *, device: str = "cpu", notice: Callable[[str], None] | None = None) -> None:
        self._store = store
        self._device = device
        self._notice = notice
        self._prepared: dict[str, PreparedTask] = {}
        self._encoded: dict[tuple[object, ...], tuple[EncodedCell, dict[str, int]]] = {}
        self._mixed: dict[str, TrainingRows] = {}
        self._encoders: dict[Path, Encoder] = {}
        self._loaded: LoadedModel | None = None

    def compute(self, step: Step, folder: Path, advance: Advance) -> Mapping[str, Any]:
        """Write a step's files into ``folder`` and return how, when and on what it was computed."""
        wall, cpu, started = time.monotonic(), time.process_time(), time.time()
        match step:
            case Prepare():
                files.write_prepared(folder / ROWS, self.prepared(step))
            case Finetune():
                self._finetune(step, folder, advance)
            case Derive():
                self._derive(step, folder)
            case Predict():
                self._predict(step, folder)
            case Score():
                self._score(step, folder)
            case Validate():
                self._validate(step, folder)
            case Drift():
                self._drift(step, folder)
            case _:
                raise TypeError(f"{type(step).__name__} is not a kind of step")
        return {
            "label": step.label,
            "started": started,
            "duration_seconds": time.monotonic() - wall,
            "cpu_seconds": time.process_time() - cpu,
            "device": self._device,
            **machine(),
        }

    def prepared(self, step: Prepare) -> PreparedTask:
        """Return a task's rows: from memory, from the store, or read now."""
        if step.key not in self._prepared:
            if self._store.has(step.kind, step.key):
                self._prepared[step.key] = files.read_prepared(self._store.file(step.kind, step.key, ROWS))
            else:
                self._prepared[step.key] = prepare(step.suite, step.task, cache=step.cache, notice=self._notice)
        return self._prepared[step.key]

    def encoded_cell(self, step: Predict) -> tuple[EncodedCell, dict[str, int]]:
        """Return a cell's token ids and the test rows dropped (reason to count), the same for every model."""
        from spillover.evaluation.predict import Asked, encode_cell

        name = (
            step.data.key,
            step.template,
            step.cell,
            step.test_limit,
            step.protocol,
            step.priors,
            step.base.tokenizer_fingerprint,
        )
        if name not in self._encoded:
            prepared, task, cell = self.prepared(step.data), step.data.task, step.cell
            examples, dropped = protocol_rows(prepared, split="test", protocol=step.protocol)
            examples = examples[: step.test_limit]
            shown = choose(prepared.demonstrations, cell.shots, seed=cell.demonstration_seed)
            template = Template(step.template)
            prompts = tuple(demonstrated_prompt(template, shown, example.fields) for example in examples)
            generation = task.generation
            asked = Asked(
                cell,
                examples,
                prompts,
                task.answers,
                generation.max_new_tokens,
                generation.stop,
                content_free_prompts(template, shown) if "contextual" in step.priors else (),
                premise(template) if "pmi" in step.priors else "",
            )
            encoded = encode_cell(asked, self._encoder(step.base.path), context_length=step.base.context_length)
            self._encoded[name] = encoded, dict(Counter(prepared.dropped) + Counter(dropped))
        return self._encoded[name]

    def training_rows(self, step: Finetune) -> tuple[TrainingRows, dict[str, int]]:
        """Return a variant's training rows as token ids, and the rows dropped (reason to count).

        Raises:
            UserError: If there are fewer rows than the variant's size asks for.
        """
        from spillover.training.rows import encode_rows

        if step.mixture:
            if step.key not in self._mixed:
                self._mixed[step.key] = mixed_rows(step, step.mixture, self.prepared, self._encoder(step.base.path))
            return self._mixed[step.key], dict(self._mixed[step.key].dropped)
        prepared = self.prepared(step.data)
        selected = training_rows(prepared, step.size, seed=step.seed)
        rows, dropped = protocol_rows(prepared, split="train", protocol=step.protocol, rows=selected)
        shown = step.recipe.demonstrations
        demonstrations = choose(prepared.demonstrations, shown.count, seed=shown.seed)
        encoded = encode_rows(
            self._encoder(step.base.path),
            Template(step.template),
            rows,
            demonstrations,
            step.settings,
            context_length=step.base.context_length,
        )
        return encoded, {**dropped, **encoded.dropped}

    def validation_rows(self, step: Validate) -> TrainingRows:
        """Return the rows that a contest of arms is decided on."""
        return validation_rows(step, self.prepared, self._encoder(step.variant.base.path))

    def _material(self, step: Finetune) -> Material:
        """Return the rows a recipe's constraint asks for besides the variant's own."""
        from spillover.training.constraints.constraint import Material
        from spillover.training.general_text import general_rows
        from spillover.training.rows import encode_rows

        encoder = self._encoder(step.base.path)
        replayed = []
        for data, template in step.replayed:
            rows, _ = protocol_rows(self.prepared(data), split="train", protocol=step.protocol)
            replayed.append(encode_rows(encoder, Template(template), rows, (), step.settings))
        general = general_rows(encoder) if step.recipe.constraint.reads_general_text else ()
        return Material(general, replayed)

    def _finetune(self, step: Finetune, folder: Path, advance: Advance) -> None:
        from spillover.models.load import load_model
        from spillover.training.checkpoints import Checkpoints
        from spillover.training.general_text import general_rows
        from spillover.training.probe import Watch
        from spillover.training.stages import fit_stages

        self._loaded = None
        rows, dropped = self.training_rows(step)
        model = load_model(step.base.path, dtype="float32", device=self._device)
        adapter = step.recipe.parameters.select(model, seed=step.seed)
        checkpoints = Checkpoints(self._store.root / "checkpoints" / step.key, seconds=SECONDS_BETWEEN_CHECKPOINTS)
        log = fit_stages(
            model,
            rows,
            step.settings,
            seed=step.seed,
            precision=step.precision,
            constraint=step.recipe.constraint.build(self._material(step)),
            watch=Watch(general_rows(self._encoder(step.base.path)), step.watch) if step.watch else None,
            checkpoints=checkpoints,
            progress=lambda done, count, _: advance(done / count),
        )
        if adapter:
            adapter.save(folder / ADAPTER, base_name=step.base.name)
        else:
            self._save(model, step, folder)
        fingerprint = _fingerprint(
            step, folder, f"after {log.step_count} steps: nothing was learnt; raise training.learning_rate or sizes"
        )
        checkpoints.remove()
        if log.forgetting and self._notice:
            first, last = log.forgetting[0], log.forgetting[-1]
            self._notice(
                f"{step.variant}: loss on general text {first['general_loss']:.3f} to {last['general_loss']:.3f}, "
                f"KL to the base {last['kl_to_base']:.4f} nats a token"
            )
        shown = {"rows": len(rows.rows), "dropped": dropped, "fingerprint": fingerprint}
        files.write_json(folder / "training.json", {**asdict(log), **shown})

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
        fingerprint = _fingerprint(
            step, folder, f"at {step.change.suffix}: choose a value that keeps some of the update"
        )
        files.write_json(folder / "derived.json", {"fingerprint": fingerprint})

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
        if path.name == ADAPTER:
            return load_merged(step.base.path, path)
        return load_model(path, dtype="float32", device="cpu")

    def _predict(self, step: Predict, folder: Path) -> None:
        from spillover.evaluation.predict import predict

        encoded, dropped = self.encoded_cell(step)
        loaded = self._model(step)
        predictions = predict(loaded.model, encoded, self._encoder(step.base.path), loaded.prefixes)
        files.write_predictions(folder / "predictions.jsonl", predictions)
        files.write_prompt(folder / "prompt.json", encoded.card())
        facts: dict[str, object] = {"dropped": dropped, "item_count": len(predictions)}
        if step.checked_count and (floor := self._flip_floor(step, loaded.model, encoded, predictions)):
            facts["flip_floor"] = asdict(floor)
        files.write_json(folder / "facts.json", facts)

    def _flip_floor(
        self, step: Predict, model: PreTrainedModel, cell: EncodedCell, predictions: Sequence[Prediction]
    ) -> FlipFloor | None:
        """Compare with exact arithmetic, where memory allows; in float32 more than rounding is a fault of ours."""
        from spillover.evaluation.exactness import check_exact, flip_floor
        from spillover.models.exact import in_float32

        exact = in_float32(model)
        if exact is None:
            return None
        end_token_id = self._encoder(step.base.path).end_token_id
        floor = flip_floor(exact, cell, predictions, end_token_id=end_token_id, item_count=step.checked_count)
        if step.precision == "float32":
            check_exact(floor, where=step.label)
        return floor

    def _score(self, step: Score, folder: Path) -> None:
        from spillover.evaluation.choice import Scoring
        from spillover.evaluation.metrics import statistics

        source = step.predictions
        predictions = files.read_predictions(self._store.file(source.kind, source.key, "predictions.jsonl"))
        answers = source.data.task.answers
        scoring = Scoring(step.trained_answers, answers, step.scoring, step.is_length_normalised)
        values = {metric: statistics(metric, predictions, scoring) for metric in step.metrics}
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

    def _model(self, step: Predict) -> LoadedModel:
        """Return the model a step asks: the one at hand with other weights, or with another adapter."""
        from spillover.models.loaded import LoadedModel

        path = self._weights(step.variant) if step.variant else step.base.path
        if self._loaded is None or self._loaded.base != step.base.path:
            self._loaded = LoadedModel(step.base.path, dtype=step.precision, device=self._device)
        if path.name == ADAPTER:
            self._loaded.use(step.base.path, path)
        else:
            self._loaded.use(path)
        return self._loaded

    def _weights(self, step: Variant) -> Path:
        return kept_weights(self._store, step)

    def _encoder(self, path: Path) -> Encoder:
        from spillover.models.load import load_tokenizer

        if path not in self._encoders:
            self._encoders[path] = Encoder(load_tokenizer(path))
        return self._encoders[path]


def kept_weights(store: Store, step: Variant) -> Path:
    """Return the folder of a finished variant's weights or adapter after checking the digests of its files."""
    names = store.manifest(step.kind, step.key)["files"]
    kept = [name for name in names if Path(name).parts[0] in (WEIGHTS, ADAPTER)]
    if not kept:
        raise UserError(f"{store.folder(step.kind, step.key)} holds no weights; remove it and run again")
    paths = [store.file(step.kind, step.key, name) for name in kept]
    return paths[0].parent


def _fingerprint(step: Variant, folder: Path, when: str) -> str:
    """Return what a variant's weights are; those of its base are an error."""
    from spillover.models.adapters import adapter_fingerprint
    from spillover.training.drift.tensors import Tensors, same_numbers

    if step.saves_adapter:
        fingerprint, unchanged = adapter_fingerprint(folder / ADAPTER)
    else:
        fingerprint = weights_fingerprint(folder / WEIGHTS)
        unchanged = same_numbers(Tensors.of_folder(folder / WEIGHTS), Tensors.of_folder(step.base.path))
    if unchanged:
        raise SpilloverError(f"{step.variant} has the weights of its base {when}")
    return fingerprint


def machine() -> dict[str, Any]:
    """Return what a number's rounding may depend on besides its step: versions and processor."""
    packages = ("spillover", "torch", "transformers", "accelerate", "peft", "tokenizers", "numpy")
    return {
        "versions": {"python": platform.python_version(), **{name: version(name) for name in packages}},
        "processor": platform.processor() or platform.machine(),
        "cpu_count": os.cpu_count(),
    }
