"""What is known of a model: an entry of the catalog, or one that lies on this disk."""

from dataclasses import dataclass
from functools import cache as remembered
from importlib import resources
from pathlib import Path
from typing import Literal

import yaml

from spillover.errors import unknown_name

FACTS_FILE = "fingerprint.json"
"""In a folder this project converted: name, kind, licence, digest of the source, fingerprints."""

ModelKind = Literal["instruct", "base", "encoder", "unstated"]
"""An encoder writes no text: with a head it is a classifier."""


@dataclass(frozen=True, slots=True)
class ModelPart:
    """A member of a pinned archive; the parts of a GGUF file are joined in order, those of an encoder are its files."""

    artifact: str
    member: str


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """A model that can be fetched by name."""

    name: str
    kind: ModelKind
    licence: str
    terms: bool
    """The licence must be accepted before the first fetch."""
    architecture: str
    parameter_count: int
    sha256: str
    """Of the whole GGUF file, or of an encoder's weights."""
    parts: tuple[ModelPart, ...]


@dataclass(frozen=True, slots=True)
class ResolvedModel:
    """A model on this disk, ready to load."""

    name: str
    path: Path
    """A Hugging Face folder with safetensors weights."""
    fingerprint: str
    """Of the weights and configuration, see `spillover.models.fingerprint`."""
    tokenizer_fingerprint: str
    parameter_count: int
    kind: ModelKind
    licence: str
    context_length: int
    """Tokens."""
    appends_tokens: bool = False
    """Whether the tokenizer puts special tokens behind every text."""

    def encoding_fields(self) -> dict[str, str]:
        """Return what decides a prompt's token ids, for keys: those of a tokenizer that appends end without that."""
        left_out = {"appended_tokens": "left out"} if self.appends_tokens else {}
        return {"tokenizer": self.tokenizer_fingerprint, **left_out}


@remembered
def model_specs() -> dict[str, ModelSpec]:
    """Return the catalog by name."""
    text = resources.files("spillover.models").joinpath("catalog.yaml").read_text(encoding="utf-8")
    return {
        name: ModelSpec(name=name, **{**fields, "parts": tuple(ModelPart(**part) for part in fields["parts"])})
        for name, fields in yaml.safe_load(text).items()
    }


def model_spec(name: str) -> ModelSpec:
    """Return a model of the catalog; an unknown name raises UserError with the nearest one."""
    specs = model_specs()
    if name not in specs:
        raise unknown_name("model", name, specs)
    return specs[name]
