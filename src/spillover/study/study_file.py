"""What a study file says: its settings, before any name in it is looked up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Protocol, Self, cast

from pydantic import AfterValidator, Discriminator, Field, Tag, create_model, model_validator

from spillover.errors import unknown_name
from spillover.records import BASE, PLAIN
from spillover.settings import EACH_ONCE, ONE_OR_MORE, Settings, each_once
from spillover.study.asks import AskEntry, AskName, ComparedEntry, Names
from spillover.tasks.mixture import Mixture
from spillover.training.settings import Recipe
from spillover.training.supervised import AnySupervised
from spillover.training.sweep import sweep_points
from spillover.training.tracking import TRACKERS

DEFAULT_TEST_LIMIT = 250
"""Test rows of a cell, as in the released evaluation (sheet genpower, 2.5)."""


Count = Annotated[int, Field(ge=0, lt=2**63)]
Counts = Annotated[
    tuple[Count, ...],
    Field(min_length=1),
    ONE_OR_MORE,
    EACH_ONCE,
]


def _each_mixture_once(value: tuple[Mixture, ...]) -> tuple[Mixture, ...]:
    repeated = [mixture.target for index, mixture in enumerate(value) if mixture in value[:index]]
    if repeated:
        raise ValueError(f"{repeated[0]!r} is listed twice; list it once")
    return value


Trained = Annotated[tuple[Mixture, ...], Field(min_length=1), ONE_OR_MORE, AfterValidator(_each_mixture_once)]
SweptWord = Annotated[str, Field(strict=True, pattern=r"^[\w.+-]+$")]
SweptValue = bool | int | float | SweptWord
SweptValues = Annotated[
    tuple[SweptValue, ...],
    Field(min_length=1),
    ONE_OR_MORE,
    EACH_ONCE,
]


class SuiteEntry(Settings):
    """Where tasks are looked up."""

    shorthand: ClassVar[str] = "name"
    name: str
    """A built-in suite or the path of a suite file."""
    folder: Path | None = Field(default=None, alias="from")
    """The folder of a release that the suite reads, relative to the study file."""


class VariantEntry(Settings):
    """One way of fine-tuning."""

    name: str = Field(min_length=1, pattern=r"^[\w.+-]+$")
    train_on: Trained
    """Tasks or mixtures of tasks; one variant for each."""
    sizes: Counts
    """Training rows; one variant for each."""
    recipe: Recipe = Recipe()
    training: dict[str, object] = {}
    """Training settings that differ from the study's."""
    sweep: dict[str, SweptValues] = {}
    """Dotted path of a setting above, such as ``training.learning_rate``, to its values; one variant for each."""
    asked: Names = ()
    """Asks of the study that it is asked by, beside the primary one."""

    def points(self, *, where: str) -> list[VariantEntry]:
        """Return the entry once for every combination of what it sweeps; ``where`` begins messages."""
        where = f"{where}: variant {self.name!r}"
        points = sweep_points(self.name, self.recipe, self.training, self.sweep, where=where)
        return [
            self.model_copy(update={"name": point.name, "recipe": point.recipe, "training": point.training})
            for point in points
        ]


class TestedEntry(Settings):
    """A task that every model is asked."""

    shorthand: ClassVar[str] = "task"
    task: str
    """A task of the suite, ``all`` of them, or ``lm-eval/NAME``."""
    family: str = ""
    """Of an lm-eval task, where it has something to do with a family of the suite."""


def _each_task_once(entries: tuple[TestedEntry, ...]) -> tuple[TestedEntry, ...]:
    each_once(tuple(entry.task for entry in entries))
    return entries


class AdoptedEntry(Settings):
    """A variant that was trained elsewhere: an adapter of the base, or a whole model."""

    name: str = Field(min_length=1, pattern=r"^[\w.+-]+$")
    adapter: str | None = None
    """A folder that peft's save_pretrained wrote."""
    model: str | None = None
    """A folder, a hub id or a .gguf file."""
    train_on: str | None = None
    """The task it was trained on or, where that is none of the suite's, its family; relations follow from it."""
    asked: Names = ()
    """Asks of the study that it is asked by, beside the primary one."""

    @model_validator(mode="after")
    def _is_one_thing(self) -> Self:
        if (self.adapter is None) == (self.model is None):
            raise ValueError(f"variant {self.name!r}: give adapter or model, one of the two")
        _require_other_than_base(self.name, self.train_on)
        return self


def _require_other_than_base(name: str, train_on: str | None) -> None:
    """Refuse a variant whose id would be the base's."""
    if name == BASE and train_on is None:
        raise ValueError(f"a variant is called {BASE!r}, as the untouched model is; give it another name")


class SupervisedEntry(Settings):
    """A small supervised model beside the base: a classifier that is trained on a task's rows."""

    name: str = Field(min_length=1, pattern=r"^[\w.+-]+$")
    train_on: Annotated[tuple[str, ...], Field(min_length=1), ONE_OR_MORE, EACH_ONCE]
    """Tasks with an answer set; one variant for each."""
    sizes: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1), ONE_OR_MORE, EACH_ONCE]
    """Training rows; one variant for each."""
    supervised: AnySupervised
    """What is trained, and how."""


class PredictionsEntry(Settings):
    """A classifier of the user's own, by what it said."""

    name: str = Field(min_length=1, pattern=r"^[\w.+-]+$")
    predictions: Path
    """A CSV with id or text of each row, and its label or a share for each label; relative to the study file."""
    train_on: str | None = None
    """The task it was trained on or, where that is none of the suite's, its family; relations follow from it."""

    @model_validator(mode="after")
    def _is_not_the_base(self) -> Self:
        _require_other_than_base(self.name, self.train_on)
        return self


_ENTRIES = {"supervised": SupervisedEntry, "predictions": PredictionsEntry, "adopted": AdoptedEntry}
_KEYS = {"supervised": "supervised", "predictions": "predictions", "adapter": "adopted", "model": "adopted"}
"""What an entry says to the kind that it is of; any other is trained."""


def _kind_of_entry(entry: object) -> str:
    if isinstance(entry, Mapping):
        return next((kind for key, kind in _KEYS.items() if key in entry), "trained")
    return next((kind for kind, settings in _ENTRIES.items() if isinstance(entry, settings)), "trained")


AnyEntry = Annotated[
    Annotated[VariantEntry, Tag("trained")]
    | Annotated[AdoptedEntry, Tag("adopted")]
    | Annotated[SupervisedEntry, Tag("supervised")]
    | Annotated[PredictionsEntry, Tag("predictions")],
    Discriminator(_kind_of_entry),
]


def _known_tracker(name: str) -> str:
    if name not in TRACKERS:
        raise ValueError(str(unknown_name("tracker", name, TRACKERS)))
    return name


class StudyFile(Settings):
    """What a study.yaml says; questions add keys of their own, see `study_file`."""

    base: str = "smollm2-135m-instruct"
    """A model's name, a local folder, a hub id or a .gguf file."""
    suite: SuiteEntry = SuiteEntry(name="pocket")
    variants: tuple[AnyEntry, ...] = ()
    test_on: Annotated[
        tuple[TestedEntry, ...],
        Field(min_length=1),
        ONE_OR_MORE,
        AfterValidator(_each_task_once),
    ] = (TestedEntry(task="all"),)
    """Task names, ``all`` for those of the suite, and tasks of lm-eval."""
    lm_eval_include: Annotated[tuple[Path, ...], ONE_OR_MORE] = ()
    """Folders of one's own lm-eval tasks, relative to the study file."""
    shots: Literal["default"] | Counts = "default"
    """Demonstrations in the prompt; ``default`` takes each family's own counts."""
    prompt_forms: Counts = (1,)
    test_limit: int | dict[str, int] = DEFAULT_TEST_LIMIT
    """The most test rows of a cell: one number, or family (or ``default``) to number."""
    seeds: Counts = (0,)
    """Training seeds; one variant for each."""
    demonstration_seeds: Counts = (0,)
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """``auto`` takes bfloat16 where the processor computes it fast."""
    protocol: Literal["clean", "literal"] = "clean"
    """``clean`` drops rows that equal a demonstration or have no answer; ``literal`` keeps them as released."""
    scoring: Literal["raw", "contextual", "pmi", "batch"] = "raw"
    """How answers are compared: ``raw`` log-likelihoods, or less what is said without an input or on average."""
    ask: str = PLAIN
    """The primary ask: how the cells of matrix, verdicts and everything else are asked."""
    asks: dict[AskName, AskEntry] = {}
    """Other ways of asking, by name; what each does to answers stands in a table of its own."""
    base_asked: Literal["all"] | Names = "all"
    """Asks that the base is asked by; by those of any variant it always is."""
    compare: tuple[ComparedEntry, ...] = ()
    """What is compared beyond each ask with the plain one, and each variant with the base."""
    training: dict[str, object] = {}
    """Training settings that differ from the suite's."""
    watch: int = Field(default=0, ge=0)
    """Optimizer steps from one look at forgetting to the next while a variant trains; 0 does not look."""
    track: Annotated[str, AfterValidator(_known_tracker)] | None = None
    """A tracker that trainings are sent to: mlflow, tensorboard, trackio or wandb."""
    margin: float = Field(default=0.02, gt=0, lt=1)
    """Losses up to it count as nothing lost; a share, and 100 times that for metrics from 0 to 100."""


class Brings(Protocol):
    """A question, as far as a study file knows it."""

    @property
    def settings(self) -> type[Settings] | None:
        """The keys that it adds."""


def study_file(questions: Iterable[Brings]) -> type[StudyFile]:
    """Return what a study.yaml may say where these questions are asked: the keys of the study, then theirs."""
    return _with_keys(tuple(question.settings for question in questions if question.settings))


@cache
def _with_keys(added: tuple[type[Settings], ...]) -> type[StudyFile]:
    if not added:
        return StudyFile
    bases = cast("tuple[type[StudyFile], ...]", (*added, StudyFile))
    return create_model("StudyFile", __base__=bases, __doc__="What a study.yaml says.")
