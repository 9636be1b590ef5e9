"""Small supervised models as settings: an encoder with a head or TF-IDF, how sure each is made, and its folds."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol

import numpy as np
from pydantic import BeforeValidator, Discriminator, Field

from spillover.prompts.demonstrations import seeded_order
from spillover.records import FloatArray
from spillover.settings import Settings

if TYPE_CHECKING:
    from spillover.models.spec import ResolvedModel

Texts = tuple[str, ...]
"""The input fields of a row."""
SMALLEST_SHARE = 1e-12
"""Of a label: the log of none is no number."""
FEWEST_HELD_OUT = 20
"""Held-out rows, below which a temperature would be a matter of luck; none is set then."""
TEMPERATURES = (0.02, 50.0)
"""Between which a temperature is looked for."""


class Classifier(Protocol):
    """What was fitted."""

    def logits(self, texts: Sequence[Texts]) -> FloatArray:
        """Return the logits ``(rows, labels)``."""

    def save(self, folder: Path) -> None:
        """Write it into a new folder."""


class Supervised(Settings):
    """What every small supervised model has to say."""

    calibration_rows: int = Field(default=200, ge=0)
    """Training rows behind the ones that are trained on which set the temperature; 0 sets none."""
    folds: int = Field(default=5, ge=2)
    """Parts of the training rows, each judged by a model of the others, where a prompt shows training rows."""

    def training_identity(self) -> dict[str, Any]:
        """Return what decides the fitted model and its temperature."""
        return self.identity(exclude={"folds", "encoder"})

    @abstractmethod
    def fit(
        self,
        texts: Sequence[Texts],
        golds: Sequence[int],
        label_count: int,
        *,
        encoder: ResolvedModel | None,
        seed: int,
        device: str,
        progress: Callable[[float], None],
    ) -> tuple[Classifier, list[float]]:
        """Return a classifier and its losses, nats per row, one an optimizer step.

        Args:
            texts: The input fields of each row.
            golds: The place of each row's label among ``label_count``.
            label_count: Labels there are.
            encoder: What it starts from, where it starts from anything.
            seed: Of whatever is drawn.
            device: Where it runs.
            progress: Called with the share that is done.
        """

    @abstractmethod
    def open(self, folder: Path, *, device: str) -> Classifier:
        """Read a fitted classifier from its folder."""

    @abstractmethod
    def trained_tokens(self, texts: Sequence[Texts]) -> float:
        """Return how many tokens of its own model a fit passes through, about."""

    @abstractmethod
    def asked_tokens(self, texts: Sequence[Texts]) -> float:
        """Return how many tokens of its own model asking the rows passes through, about."""

    def require(self) -> None:
        """Refuse what is not installed.

        Raises:
            UserError: If so.
        """


class EncoderSettings(Supervised):
    """An encoder with a classification head."""

    kind: Literal["encoder"] = "encoder"
    encoder: str = "minilm"
    """A name of the catalogue, a folder or a hub id."""
    train: Literal["all", "head"] = "all"
    """Which weights; with its encoder frozen MiniLM stays below always giving the most frequent label."""
    epochs: int = Field(default=3, ge=1)
    """Passes over the training rows."""
    learning_rate: float = Field(default=1e-4, gt=0)
    """Peak rate of AdamW; it decays linearly to zero without warm-up."""
    batch_size: int = Field(default=16, ge=1)
    """Rows of one optimizer step."""
    weight_decay: float = Field(default=0.01, ge=0)
    max_gradient_norm: float = Field(default=1.0, gt=0)
    """The norm to which larger gradients are clipped."""
    max_length: int = Field(default=128, ge=8)
    """Tokens of a row; the end of a longer one is left out."""

    def step_count(self, row_count: int) -> int:
        """Return the optimizer steps of a fit on so many rows."""
        return self.epochs * math.ceil(row_count / self.batch_size)

    def fit(
        self,
        texts: Sequence[Texts],
        golds: Sequence[int],
        label_count: int,
        *,
        encoder: ResolvedModel | None,
        seed: int,
        device: str,
        progress: Callable[[float], None],
    ) -> tuple[Classifier, list[float]]:
        """Train the encoder that is given."""
        from spillover.models.encoder import EncoderClassifier
        from spillover.training.supervised_fit import fit_encoder

        assert encoder is not None
        length = min(self.max_length, encoder.context_length)
        made = EncoderClassifier.begin(
            encoder.path, label_count=label_count, max_length=length, device=device, seed=seed
        )
        return made, fit_encoder(made, texts, golds, self, seed=seed, progress=progress)

    def open(self, folder: Path, *, device: str) -> Classifier:
        """Read the encoder and its head."""
        from spillover.models.encoder import EncoderClassifier
        from spillover.models.resolve import context_length

        length = min(self.max_length, context_length(folder))
        return EncoderClassifier.open(folder, max_length=length, device=device)

    def trained_tokens(self, texts: Sequence[Texts]) -> float:
        """Return the tokens of all epochs."""
        return self.epochs * self.asked_tokens(texts)

    def asked_tokens(self, texts: Sequence[Texts]) -> float:
        """Return the rows' tokens, four characters each."""
        return sum(min(self.max_length, 2 + sum(map(len, row)) / 4) for row in texts)


class TfidfSettings(Supervised):
    """TF-IDF with logistic regression, by scikit-learn."""

    kind: Literal["tfidf"] = "tfidf"
    longest_term: int = Field(default=2, ge=1)
    """Words of the longest term that is counted."""
    penalty: float = Field(default=0.1, gt=0)
    """Strength of the L2 penalty, the inverse of scikit-learn's C."""

    def fit(
        self,
        texts: Sequence[Texts],
        golds: Sequence[int],
        label_count: int,
        *,
        encoder: ResolvedModel | None,  # noqa: ARG002 - it starts from none
        seed: int,  # noqa: ARG002 - nothing is drawn
        device: str,  # noqa: ARG002 - the processor's alone
        progress: Callable[[float], None],
    ) -> tuple[Classifier, list[float]]:
        """Fit terms and layer; there are no steps, and so no losses."""
        from spillover.models.tfidf import TfidfClassifier

        self.require()
        made = TfidfClassifier.fit(texts, golds, label_count, longest=self.longest_term, strength=self.penalty)
        progress(1.0)
        return made, []

    def open(self, folder: Path, *, device: str) -> Classifier:  # noqa: ARG002 - the processor's alone
        """Read terms and layer."""
        from spillover.models.tfidf import TfidfClassifier

        self.require()
        return TfidfClassifier.open(folder)

    def trained_tokens(self, texts: Sequence[Texts]) -> float:  # noqa: ARG002 - seconds for any rows
        """Return none: it has no model."""
        return 0.0

    asked_tokens = trained_tokens

    def require(self) -> None:
        """Refuse it where scikit-learn is not installed."""
        from spillover.models.tfidf import require_scikit_learn

        require_scikit_learn()


def _expanded(value: object) -> object:
    """Return a bare word as the kind it names, and let an encoder's settings go without their kind."""
    if isinstance(value, str):
        value = {"kind": value}
    return {"kind": "encoder", **value} if isinstance(value, Mapping) else value


AnySupervised = Annotated[
    EncoderSettings | TfidfSettings,
    Discriminator("kind"),
    BeforeValidator(_expanded, json_schema_input_type=Literal["encoder", "tfidf"] | EncoderSettings | TfidfSettings),
]


def log_shares(logits: FloatArray, temperature: float) -> FloatArray:
    """Return the log of each label's share ``(rows, labels)`` after temperature scaling (Guo et al. 2017, 4.2)."""
    scaled = logits / temperature
    logs = scaled - np.logaddexp.reduce(scaled, axis=1, keepdims=True)
    return np.asarray(np.maximum(logs, math.log(SMALLEST_SHARE)), dtype=np.float64)


def fitted_temperature(logits: FloatArray, golds: Sequence[int]) -> float:
    """Return the temperature under which rows that were not trained on are likeliest, within `TEMPERATURES`.

    The likelihood has one peak, since it is concave in the inverse of the temperature.
    """
    from scipy.optimize import minimize_scalar

    rows = np.arange(len(golds))

    def loss(log_temperature: float) -> float:
        return -float(log_shares(logits, math.exp(log_temperature))[rows, list(golds)].mean())

    low, high = map(math.log, TEMPERATURES)
    return math.exp(minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-6}).x)


def folds(row_count: int, count: int, *, seed: int) -> list[list[int]]:
    """Return the places of rows in each of so many parts, which differ by one row at the most."""
    order = seeded_order(row_count, seed=seed, purpose="folds")
    return [sorted(order[start::count]) for start in range(count)]
