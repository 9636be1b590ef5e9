"""The seven kinds of work as frozen data: what each step depends on, and nothing of how it is run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from spillover.evaluation.choice import Scoring, ScoringKind
from spillover.evaluation.metrics import METRICS
from spillover.models.adopted import Adopted
from spillover.models.precision import Precision
from spillover.models.spec import ResolvedModel
from spillover.records import BASE, Cell
from spillover.study.identity import digest
from spillover.tasks.mixture import Mixture
from spillover.tasks.prepare import Protocol
from spillover.tasks.relation import TrainedOn
from spillover.tasks.suite import Suite
from spillover.tasks.task import Task
from spillover.training.afterwards.change import Change
from spillover.training.general_text import general_text_digest
from spillover.training.settings import Recipe, TrainingSettings


class Step:
    """A unit of work with a content key.

    The key covers the kind, its version, every field that can change a number and the keys of the inputs. Raise
    ``version`` when the computation itself changes.
    """

    kind: ClassVar[str]
    version: ClassVar[int]

    @property
    def label(self) -> str:
        """What the step is, for people; never part of its key."""
        raise NotImplementedError

    def fields(self) -> Mapping[str, Any]:
        """Return everything of the step itself that can change a number, as plain data."""
        raise NotImplementedError

    def inputs(self) -> Mapping[str, Step]:
        """Return the steps whose results this one reads."""
        return {}

    @cached_property
    def key(self) -> str:
        """The step's identity."""
        inputs = {name: step.key for name, step in self.inputs().items()}
        content = {"kind": self.kind, "version": self.version, "fields": self.fields(), "inputs": inputs}
        return digest(content)


@dataclass(frozen=True)
class Prepare(Step):
    """Read a task's rows and split them into training rows, demonstrations and test rows."""

    kind: ClassVar[str] = "prepare"
    version: ClassVar[int] = 1
    suite: Suite
    task: Task
    cache: Path
    """Where archives are kept; not part of the key."""

    @property
    def label(self) -> str:
        return f"prepare {self.task.name}"

    def fields(self) -> Mapping[str, Any]:
        return self.suite.identity(self.task, cache=self.cache)


@dataclass(frozen=True)
class Finetune(Step):
    """Train a variant from the base."""

    kind: ClassVar[str] = "finetune"
    version: ClassVar[int] = 1
    name: str
    """The variant's name in the study; not part of the key."""
    base: ResolvedModel
    data: Prepare
    template: str
    """Text of the prompt form it trains on."""
    size: int
    seed: int
    protocol: Protocol
    recipe: Recipe
    settings: TrainingSettings
    precision: Precision
    replayed: tuple[tuple[Prepare, str], ...] = ()
    """The tasks that the recipe replays, each with the text of its prompt."""
    watch: int = 0
    """Optimizer steps from one look at forgetting to the next; looking changes no weight and is not part of the key."""
    mixture: Mixture | None = None
    """How ``added`` is mixed with the data; None trains on the data alone."""
    added: tuple[tuple[Prepare, str], ...] = ()
    """The other tasks of the mixture, in its order, each with the text of its prompt."""
    arm: Mapping[str, Any] = field(default_factory=dict)
    """Which arm of a design the variant is; not part of the key."""

    @property
    def variant(self) -> str:
        """The variant's id: name/task/size/seed."""
        return f"{self.name}/{self.data.task.name}/{self.size}/{self.seed}"

    @property
    def trained_on(self) -> Task:
        """The task that was trained on."""
        return self.data.task

    @property
    def trained(self) -> Finetune:
        """The step that trains the variant: this one."""
        return self

    @property
    def saves_adapter(self) -> bool:
        """Whether the variant is kept as an adapter beside its base."""
        return self.recipe.parameters.saves_adapter

    @property
    def label(self) -> str:
        names = [self.data.task.name, *(data.task.name for data, _ in self.added)]
        return f"fine-tune {self.variant}" + (f" on {' + '.join(names)}" if self.added else "")

    def fields(self) -> Mapping[str, Any]:
        return {
            "base": self.base.fingerprint,
            "tokenizer": self.base.tokenizer_fingerprint,
            "template": self.template,
            "size": self.size,
            "seed": self.seed,
            "protocol": self.protocol,
            "recipe": self.recipe.training_identity(),
            "settings": self.settings.identity(),
            "precision": self.precision,
            **({"general_text": general_text_digest()} if self.recipe.constraint.reads_general_text else {}),
            **({"replayed_templates": [template for _, template in self.replayed]} if self.replayed else {}),
            **(
                {"mixture": self.mixture.identity(), "added_templates": [template for _, template in self.added]}
                if self.mixture
                else {}
            ),
        }

    def inputs(self) -> Mapping[str, Step]:
        named = (("replayed", self.replayed), ("added", self.added))
        others = {f"{name} {index}": data for name, found in named for index, (data, _) in enumerate(found)}
        return {"data": self.data, **others}


@dataclass(frozen=True)
class Derive(Step):
    """Make a variant of a trained one by changing its weights without training."""

    kind: ClassVar[str] = "derive"
    version: ClassVar[int] = 1
    trained: Finetune
    change: Change
    """What is done afterwards, for a single value."""

    @property
    def name(self) -> str:
        """The variant's name: that of the trained one and the value of what was done to it."""
        return f"{self.trained.name}@{self.change.suffix}"

    @property
    def variant(self) -> str:
        """The variant's id: name@change/task/size/seed."""
        return f"{self.name}/{self.data.task.name}/{self.size}/{self.seed}"

    @property
    def label(self) -> str:
        return f"derive {self.variant}"

    @property
    def base(self) -> ResolvedModel:
        """The model that was fine-tuned."""
        return self.trained.base

    @property
    def data(self) -> Prepare:
        """The rows that were trained on."""
        return self.trained.data

    @property
    def trained_on(self) -> Task:
        """The task that was trained on."""
        return self.data.task

    @property
    def size(self) -> int:
        """Training rows."""
        return self.trained.size

    @property
    def seed(self) -> int:
        """Of the training."""
        return self.trained.seed

    @property
    def saves_adapter(self) -> bool:
        """Whether the variant is kept as an adapter: where that of the trained one is just scaled."""
        return self.trained.recipe.parameters.update_scales and self.change.update_scale is not None

    def fields(self) -> Mapping[str, Any]:
        return {"base": self.base.fingerprint, "change": self.change.model_dump(mode="json")}

    def inputs(self) -> Mapping[str, Step]:
        return {"trained": self.trained}


@dataclass(frozen=True)
class Adopt(Step):
    """Take in a variant that was trained elsewhere, after comparing it with its base."""

    kind: ClassVar[str] = "adopt"
    version: ClassVar[int] = 1
    name: str
    """The variant's name in the study; not part of the key."""
    base: ResolvedModel
    adopted: Adopted
    """Where it lies is not part of the key: what it holds is."""
    trained_on: TrainedOn | None = None
    """None where it is not stated; changes no prediction and is not part of the key."""
    size: int = 0
    """Training rows: not known."""
    seed: int = 0

    @property
    def variant(self) -> str:
        """The variant's id: its name and, where that is stated, what it was trained on."""
        return f"{self.name}/{self.trained_on.name}" if self.trained_on else self.name

    @property
    def saves_adapter(self) -> bool:
        """Whether the variant is an adapter beside its base."""
        return self.adopted.is_adapter

    @property
    def label(self) -> str:
        return f"adopt {self.variant}"

    def fields(self) -> Mapping[str, Any]:
        return {
            "base": self.base.fingerprint,
            "is_adapter": self.adopted.is_adapter,
            "fingerprint": self.adopted.fingerprint,
            "tokenizer": self.adopted.tokenizer_fingerprint,
        }


Variant = Finetune | Derive | Adopt
"""What makes a variant's weights."""


@dataclass(frozen=True)
class Predict(Step):
    """Ask one model everything of one cell."""

    kind: ClassVar[str] = "predict"
    version: ClassVar[int] = 2
    base: ResolvedModel
    variant: Variant | None
    """None asks the base itself."""
    data: Prepare
    template: str
    cell: Cell
    test_limit: int
    protocol: Protocol
    precision: Precision
    priors: tuple[ScoringKind, ...] = ()
    """What is asked beside the examples: content-free prompts (``contextual``), the end of the prompt (``pmi``)."""
    checked_count: int = 0
    """Items that are also computed in exact arithmetic; changes no prediction, so it is not part of the key."""

    @property
    def model(self) -> str:
        """The id of the model that is asked."""
        return self.variant.variant if self.variant else BASE

    @property
    def context_length(self) -> int:
        """Tokens that base and variant can both read."""
        own = self.variant.adopted.context_length if isinstance(self.variant, Adopt) else self.base.context_length
        return min(own, self.base.context_length)

    @property
    def label(self) -> str:
        return f"ask {self.model} {self.cell.tested_on} at {self.cell.shots} shots"

    def fields(self) -> Mapping[str, Any]:
        task = self.data.task
        return {
            "base": self.base.fingerprint,
            "tokenizer": self.base.tokenizer_fingerprint,
            "template": self.template,
            "answers": task.answers,
            "generation": {"max_new_tokens": task.generation.max_new_tokens, "stop": task.generation.stop},
            "shots": self.cell.shots,
            "demonstration_seed": self.cell.demonstration_seed,
            "test_limit": self.test_limit,
            "priors": self.priors,
            "protocol": self.protocol,
            "precision": self.precision,
        }

    def inputs(self) -> Mapping[str, Step]:
        return {"data": self.data} | ({"variant": self.variant} if self.variant else {})


@dataclass(frozen=True)
class Score(Step):
    """Turn a cell's predictions into per-example statistics of its metrics."""

    kind: ClassVar[str] = "score"
    version: ClassVar[int] = 2
    predictions: Predict
    metrics: tuple[str, ...]
    trained_answers: tuple[str, ...]
    """Label words of the tasks the study trains on."""
    scoring: ScoringKind = "raw"

    @property
    def label(self) -> str:
        return f"score {self.predictions.model} {self.predictions.cell.tested_on}"

    def fields(self) -> Mapping[str, Any]:
        return {
            "metrics": self.metrics,
            "trained_answers": self.trained_answers,
            "answers": self.predictions.data.task.answers,
            "scoring": self.scoring,
            "length_normalised": self.is_length_normalised,
            **({"metric_versions": raised} if (raised := self._raised_versions()) else {}),
        }

    def _raised_versions(self) -> Mapping[str, int]:
        """Return the versions of metrics that compute something else than at first, so that only they are scored again.

        ``version`` would have every cell of every study scored again.
        """
        is_choice = self.predictions.data.task.is_classification
        versions = {name: METRICS[name].version_for(is_choice=is_choice) for name in self.metrics}
        return {name: version for name, version in versions.items() if version > 1}

    @property
    def is_length_normalised(self) -> bool:
        """Whether answers are compared by nats per character."""
        task = self.predictions.data.task
        return task.has_own_options and task.length_normalised

    @property
    def rule(self) -> Scoring:
        """How answers are compared."""
        answers = self.predictions.data.task.answers
        return Scoring(self.trained_answers, answers, self.scoring, self.is_length_normalised)

    def inputs(self) -> Mapping[str, Step]:
        return {"predictions": self.predictions}


@dataclass(frozen=True)
class Drift(Step):
    """Measure how far a variant's weights and what it computes moved from the base's."""

    kind: ClassVar[str] = "drift"
    version: ClassVar[int] = 3
    variant: Variant

    @property
    def label(self) -> str:
        return f"measure drift of {self.variant.variant}"

    def fields(self) -> Mapping[str, Any]:
        base = self.variant.base
        return {
            "base": base.fingerprint,
            "tokenizer": base.tokenizer_fingerprint,
            "probe_text": general_text_digest(),
        }

    def inputs(self) -> Mapping[str, Step]:
        return {"variant": self.variant}


def with_inputs(steps: Iterable[Step]) -> list[Step]:
    """Return the steps and everything they need, inputs first, each key once."""
    ordered: dict[str, Step] = {}

    def visit(step: Step) -> Iterator[Step]:
        for needed in step.inputs().values():
            yield from visit(needed)
        yield step

    for step in steps:
        for needed in visit(step):
            ordered.setdefault(needed.key, needed)
    return list(ordered.values())
