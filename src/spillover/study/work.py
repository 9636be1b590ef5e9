"""How each kind of step is computed, and what is kept in memory between steps."""

from __future__ import annotations

import os
import platform
import time
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
from spillover.study.step import Drift, Finetune, Predict, Prepare, Score, Step
from spillover.study.store import Store
from spillover.tasks.prepare import PreparedTask, prepare, protocol_rows, training_rows

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from spillover.evaluation.predict import EncodedCell
    from spillover.models.scoring import PrefixCache
    from spillover.training.rows import TrainingRows

Advance = Callable[[float], None]
"""Called with the share of the current step that is done, 0..1."""

ROWS = "rows.json"
WEIGHTS = "weights"


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
        self._encoders: dict[Path, Encoder] = {}
        self._loaded: tuple[str, PreTrainedModel, PrefixCache] | None = None

    def compute(self, step: Step, folder: Path, advance: Advance) -> Mapping[str, Any]:
        """Write a step's files into ``folder`` and return how, when and on what it was computed."""
        wall, cpu, started = time.monotonic(), time.process_time(), time.time()
        match step:
            case Prepare():
                files.write_prepared(folder / ROWS, self.prepared(step))
            case Finetune():
                self._finetune(step, folder, advance)
            case Predict():
                self._predict(step, folder)
            case Score():
                self._score(step, folder)
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
            self._encoded[name] = encoded, {**prepared.dropped, **dropped}
        return self._encoded[name]

    def training_rows(self, step: Finetune) -> tuple[TrainingRows, dict[str, int]]:
        """Return a variant's training rows as token ids, and the rows dropped (reason to count).

        Raises:
            UserError: If there are fewer rows than the variant's size asks for.
        """
        from spillover.training.rows import encode_rows

        prepared = self.prepared(step.data)
        selected = training_rows(prepared, step.size, seed=step.seed)
        rows, dropped = protocol_rows(prepared, split="train", protocol=step.protocol, rows=selected)
        shown = step.recipe.demonstrations
        demonstrations = choose(prepared.demonstrations, shown.count, seed=shown.seed)
        encoded = encode_rows(
            self._encoder(step.base.path), Template(step.template), rows, demonstrations, step.settings
        )
        return encoded, {**dropped, **encoded.dropped}

    def _finetune(self, step: Finetune, folder: Path, advance: Advance) -> None:
        from spillover.models.load import load_model, load_tokenizer, quiet_transformers
        from spillover.training.fit import fit

        self._loaded = None
        rows, dropped = self.training_rows(step)
        model = load_model(step.base.path, dtype="float32", device=self._device)
        log = fit(
            model,
            rows,
            step.settings,
            seed=step.seed,
            precision=step.precision,
            progress=lambda done, count, _: advance(done / count),
        )
        weights = folder / WEIGHTS
        with quiet_transformers():
            model.save_pretrained(weights)
        load_tokenizer(step.base.path).save_pretrained(weights)
        fingerprint = weights_fingerprint(weights)
        if fingerprint == step.base.fingerprint:
            raise SpilloverError(
                f"{step.variant} has the weights of its base after {log.step_count} steps: nothing was learnt; "
                "raise training.learning_rate or sizes"
            )
        shown = {"rows": len(rows.rows), "dropped": dropped, "fingerprint": fingerprint}
        files.write_json(folder / "training.json", {**asdict(log), **shown})

    def _predict(self, step: Predict, folder: Path) -> None:
        from spillover.evaluation.predict import predict

        encoded, dropped = self.encoded_cell(step)
        model, prefixes = self._model(step)
        predictions = predict(model, encoded, self._encoder(step.base.path), prefixes)
        files.write_predictions(folder / "predictions.jsonl", predictions)
        files.write_prompt(folder / "prompt.json", encoded.card())
        facts: dict[str, object] = {"dropped": dropped, "item_count": len(predictions)}
        if step.checked_count and (floor := self._flip_floor(step, model, encoded, predictions)):
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
        from spillover.training.drift import drift

        files.write_json(folder / "drift.json", drift(self._weights(step.variant), step.variant.base.path))

    def _model(self, step: Predict) -> tuple[PreTrainedModel, PrefixCache]:
        """Return the model a step asks, loading its weights into the model at hand where there is one."""
        from spillover.models.load import load_model, load_weights_into
        from spillover.models.scoring import PrefixCache

        name = step.variant.key if step.variant else step.base.fingerprint
        if self._loaded is None or self._loaded[0] != name:
            path = self._weights(step.variant) if step.variant else step.base.path
            if self._loaded is None:
                model = load_model(path, dtype=step.precision, device=self._device)
            else:
                model = self._loaded[1]
                self._loaded = None
                load_weights_into(model, path)
            self._loaded = name, model, PrefixCache(model)
        return self._loaded[1], self._loaded[2]

    def _weights(self, step: Finetune) -> Path:
        """Return a variant's weights after checking the digests of its files."""
        names = [name for name in self._store.manifest(step.kind, step.key)["files"] if name.startswith(WEIGHTS)]
        if not names:
            raise UserError(f"{self._store.folder(step.kind, step.key)} holds no weights; remove it and run again")
        paths = [self._store.file(step.kind, step.key, name) for name in names]
        return paths[0].parent

    def _encoder(self, path: Path) -> Encoder:
        from spillover.models.load import load_tokenizer

        if path not in self._encoders:
            self._encoders[path] = Encoder(load_tokenizer(path))
        return self._encoders[path]


def machine() -> dict[str, Any]:
    """Return what a number's rounding may depend on besides its step: versions and processor."""
    packages = ("spillover", "torch", "transformers", "accelerate", "tokenizers", "numpy")
    return {
        "versions": {"python": platform.python_version(), **{name: version(name) for name in packages}},
        "processor": platform.processor() or platform.machine(),
        "cpu_count": os.cpu_count(),
    }
