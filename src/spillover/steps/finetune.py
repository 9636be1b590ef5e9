"""The step that trains a variant from the base."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from spillover.errors import SpilloverError, UserError
from spillover.models.memory import give_back_memory
from spillover.models.precision import Precision
from spillover.models.spec import ResolvedModel
from spillover.prompts.template import Template
from spillover.records import Example
from spillover.steps.mixed import learnt_rows, mixed_rows, replayed_rows
from spillover.steps.prepare import Prepare
from spillover.steps.rows import Encoding, Rows
from spillover.steps.speed import Cost, Speed
from spillover.steps.step import Step, Told, weights_in
from spillover.steps.variant import ADAPTER, Variant, changed_fingerprint, save_whole, saved_weight_count
from spillover.steps.workshop import Workshop
from spillover.store import files
from spillover.store.store import Store
from spillover.tasks.prepare import PreparedTask, protocol_rows, training_rows
from spillover.tasks.task import Task
from spillover.training.general_text import general_text_digest
from spillover.training.optimization import TrainingSettings
from spillover.training.settings import Recipe

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from spillover.models.adapters import TrainedAdapter
    from spillover.training.checkpoints import Checkpoints
    from spillover.training.constraints.constraint import Material
    from spillover.training.rows import TrainingRows
    from spillover.training.tracking import TrackedTraining

    Trained = tuple[PreTrainedModel, TrainedAdapter | None, dict[str, Any]]

LOG = "training.json"
SECONDS = "extra_seconds"
"""Of a recipe's report: what its constraint took; a time, and so part of the provenance."""
BACKWARD = 3
"""Tokens of forward passes that one trained token costs: forward, and backward for inputs and weights."""
SECONDS_BETWEEN_CHECKPOINTS = 300.0
"""Of training that a killed run may lose."""


@dataclass(frozen=True, kw_only=True)
class Finetune(Variant):
    """Train a variant from the base."""

    kind: ClassVar[str] = "finetune"
    version: ClassVar[int] = 1
    name: str
    base: ResolvedModel
    rows: Rows
    """What it trains on."""
    recipe: Recipe
    settings: TrainingSettings
    precision: Precision
    watch: int = 0
    """Optimizer steps from one look at forgetting to the next; looking changes no weight and is not part of the key."""

    @property
    def variant(self) -> str:
        """The variant's id: name/task/size/seed."""
        return f"{self.name}/{self.data.task.name}/{self.size}/{self.seed}"

    @property
    def data(self) -> Prepare:
        """The rows of the task that it trains on."""
        return self.rows.data

    @property
    def trained_on(self) -> Task:
        return self.data.task

    @property
    def size(self) -> int:
        return self.rows.size

    @property
    def seed(self) -> int:
        return self.rows.seed

    @property
    def trained(self) -> Finetune:
        """The step that trains the variant: this one."""
        return self

    @property
    def learns_from(self) -> tuple[Prepare, ...]:
        return (self.data, *(data for data, _ in (*self.rows.added, *self.rows.replayed)))

    @property
    def learns(self) -> Mapping[str, Any]:
        if self.rows.mixture:  # how many of each source depends on their tokens, too
            return {"training": self.key}
        return {"data": [data.key for data in self.learns_from], "size": self.size, "seed": self.seed}

    def learnt(self, workshop: Workshop) -> Iterable[Example]:
        mixed = self.encoded(workshop)[0] if self.rows.mixture else None
        return learnt_rows(self.rows, mixed, lambda data: data.rows(workshop))

    @property
    def saves_adapter(self) -> bool:
        return self.recipe.parameters.saves_adapter

    @property
    def label(self) -> str:
        names = [self.data.task.name, *(data.task.name for data, _ in self.rows.added)]
        return f"fine-tune {self.variant}" + (f" on {' + '.join(names)}" if self.rows.added else "")

    def fields(self) -> Mapping[str, Any]:
        return {
            "base": self.base.fingerprint,
            **self.base.encoding_fields(),
            "recipe": self.recipe.training_identity(),
            "settings": self.settings.identity(),
            "precision": self.precision,
            **({"general_text": general_text_digest()} if self.recipe.constraint.reads_general_text else {}),
            **self.rows.fields(),
        }

    def inputs(self) -> Mapping[str, Step]:
        return self.rows.inputs()

    def work(self, workshop: Workshop) -> float:
        self.check(workshop)
        rows, _ = self.encoded(workshop)
        own = sum(len(row) - rows.shared_prefix_length for row in rows.rows)
        steps = self.settings.step_count(len(rows.rows))
        own_of_step = own * self.settings.batch_size / len(rows.rows)
        return BACKWARD * steps * (own_of_step + rows.shared_prefix_length)

    def cost(self, work: float, workshop: Workshop, speed: Speed) -> Cost:
        return speed.loading + speed.trained_token * (work / BACKWARD)

    def weight_count(self, shapes: Mapping[str, tuple[int, ...]]) -> int:
        return saved_weight_count(self.recipe.parameters, shapes, is_adapter=self.saves_adapter)

    def memory_bytes(self, shapes: Mapping[str, tuple[int, ...]]) -> int:
        trained = self.recipe.parameters.saved_weight_count(shapes)
        held: float = {"float32": 4, "bfloat16": 2}[self.recipe.parameters.base_dtype(self.precision)]
        if bits := self.recipe.parameters.base_bits:
            held = bits / 8
        moments = 8 if self.settings.optimizer == "adamw" else 2
        is_beside = self.saves_adapter  # else the trained weights are the base's own
        return int(held * weights_in(shapes)) + trained * (4 * is_beside + 4 + moments)

    def recipe_card(self) -> dict[str, Any]:
        recipe = self.recipe.training_identity()
        if bits := self.recipe.parameters.base_bits:
            recipe["evaluated_on"] = f"the base in full precision; training held it in {bits} bits"
        if (held := self.recipe.parameters.base_dtype(self.precision)) != "float32":
            recipe["trained_on_base_in"] = held
        return recipe

    def encoded(self, workshop: Workshop) -> tuple[TrainingRows, dict[str, int]]:
        """Return the training rows as token ids, and the rows dropped (reason to count).

        Raises:
            UserError: If there are fewer rows than the variant's size asks for.
        """
        from spillover.training.rows import encode_rows

        how, rows = self._encoding(workshop), self.rows
        if rows.mixture:
            mixture = rows.mixture
            mixed = workshop.kept(
                (self.kind, self.key), lambda: mixed_rows(rows, mixture, how, lambda step: step.rows(workshop))
            )
            return mixed, dict(mixed.dropped)
        prepared = self.data.rows(workshop)
        selected = training_rows(prepared, self.size, seed=self.seed)
        own, dropped = protocol_rows(prepared, split="train", protocol=rows.protocol, rows=selected)
        encoded = encode_rows(
            how.encoder,
            Template(rows.template),
            own,
            how.shown.chosen_from(prepared.demonstrations),
            how.settings,
            context_length=how.context_length,
        )
        return encoded, {**dropped, **encoded.dropped}

    def material(self, workshop: Workshop) -> Material:
        """Return the rows that the recipe's constraint asks for besides the variant's own."""
        from spillover.training.constraints.constraint import Material
        from spillover.training.general_text import general_rows

        how = self._encoding(workshop)
        general = general_rows(how.encoder) if self.recipe.constraint.reads_general_text else ()
        return Material(general, replayed_rows(self.rows, how, lambda step: step.rows(workshop)))

    def _encoding(self, workshop: Workshop) -> Encoding:
        encoder = workshop.encoder(self.base.path)
        return Encoding(self.name, self.recipe.demonstrations, self.settings, encoder, self.base.context_length)

    def check(self, workshop: Workshop) -> None:
        """Refuse a training that this machine, or the rows which its recipe mixes in, cannot serve.

        Raises:
            UserError: If so.
        """
        from spillover.training.optimizers import require_bitsandbytes
        from spillover.training.settings import needs_whole_tensors

        if workshop.shards and (part := needs_whole_tensors(self.recipe, self.settings)):
            raise UserError(
                f"variant {self.name!r}: {part} needs whole tensors, FSDP splits them over processes; launch with "
                "--multi_gpu instead of --use_fsdp, or leave it out"
            )
        if self.settings.optimizer != "adamw":
            require_bitsandbytes(f"{self.name}: training.optimizer {self.settings.optimizer}", workshop.device)
        if bits := self.recipe.parameters.base_bits:
            require_bitsandbytes(f"{self.name}: parameters.bits {bits}", workshop.device)
        if fault := self.recipe.constraint.fault(self.material(workshop), self.settings.batch_size):
            raise UserError(f"variant {self.name!r}: {fault}")

    def compute(self, folder: Path, workshop: Workshop, told: Told) -> Mapping[str, Any]:
        train = self._train_leading if workshop.announce else self.train
        model, adapter, facts = train(workshop, told)
        if adapter:
            adapter.save(folder / ADAPTER, base_name=self.base.name)
        else:
            save_whole(model, self.base, folder)
        when = f"after {facts['step_count']} steps: nothing was learnt; raise training.learning_rate or sizes"
        fingerprint = changed_fingerprint(self, folder, when)
        self._checkpoints(workshop).remove()
        said = dict(facts["recipe_report"])
        seconds = said.pop(SECONDS)
        files.write_json(folder / LOG, {**facts, "recipe_report": said, "fingerprint": fingerprint})
        del model, adapter
        give_back_memory()
        return {SECONDS: seconds}

    def log(self, store: Store) -> dict[str, Any]:
        """Return the finished training's log, with its settings and how long it took."""
        found: dict[str, Any] = files.read_json(store.file(self, LOG))
        provenance = store.manifest(self)["provenance"]
        seconds = {SECONDS: provenance[SECONDS]} if SECONDS in provenance else {}  # else among what was found
        return {
            **found,
            "recipe_report": {**found.get("recipe_report", {}), **seconds},  # trainings of old have none
            "duration_seconds": provenance["duration_seconds"],
            "settings": self.settings.model_dump(mode="json"),
            "reads_general_text": self.recipe.constraint.reads_general_text,
        }

    def prepared(self, store: Store) -> PreparedTask:
        """Return the rows of the task that it trains on."""
        return self.data.stored(store)

    def _train_leading(self, workshop: Workshop, told: Told) -> Trained:
        """Train together with other processes; what stops this one alone, such as its memory, ends all of them."""
        assert workshop.announce
        workshop.announce(self.key)
        try:
            return self.train(workshop, told)
        except SpilloverError:  # the others meet it too
            raise
        except Exception as error:
            if workshop.notice:
                workshop.notice(f"failed: {self.label}: {error}; the same command goes on from the last checkpoint")
            raise SystemExit(1) from error

    def train(self, workshop: Workshop, told: Told) -> Trained:
        """Return the trained model, its adapter where it has one, and the facts of its training."""
        from spillover.models.load import load_model
        from spillover.training.general_text import general_rows
        from spillover.training.probe import Watch
        from spillover.training.sharding import sharded
        from spillover.training.stages import fit_stages

        workshop.let_go()
        rows, dropped = self.encoded(workshop)
        device = "cpu" if workshop.shards else workshop.device  # no device has to hold what is split
        parameters = self.recipe.parameters
        held = parameters.base_dtype(self.precision)
        model = load_model(self.base.path, dtype=held, device=device, bits=parameters.base_bits)
        adapter = parameters.select(model, seed=self.seed)
        split = sharded(model, workshop.device) if workshop.shards else nullcontext(model)
        general = general_rows(workshop.encoder(self.base.path)) if self.watch else ()
        with split as trained, self._tracked(workshop) as tracked:
            log = fit_stages(
                trained,
                rows,
                self.settings,
                seed=self.seed,
                precision=self.precision,
                constraint=self.recipe.constraint.build(self.material(workshop)),
                watch=Watch(general, self.watch, told.tell) if self.watch else None,
                checkpoints=self._checkpoints(workshop),
                tracked=tracked,
                progress=lambda done, count, _: told.advance(done / count),
            )
        facts = {"rows": len(rows.rows), "dropped": dropped, "shared_prefix_token_count": rows.shared_prefix_length}
        return model, adapter, {**asdict(log), **facts}

    def _tracked(self, workshop: Workshop) -> AbstractContextManager[TrackedTraining | None]:
        if not workshop.tracking:
            return nullcontext()
        settings = {
            "base": self.base.name,
            "trained_on": self.trained_on.name,
            "size": self.size,
            "seed": self.seed,
            "precision": self.precision,
            "recipe": self.recipe.model_dump(mode="json"),
            "training": self.settings.model_dump(mode="json"),
        }
        return workshop.tracking.training(self.variant, settings)

    def _checkpoints(self, workshop: Workshop) -> Checkpoints:
        from spillover.training.checkpoints import Checkpoints

        return Checkpoints(workshop.store.root / "checkpoints" / self.key, seconds=SECONDS_BETWEEN_CHECKPOINTS)
