"""Which model a name means: one of the catalog, a folder, a GGUF file or a repository of the hub."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import get_args

from spillover.errors import UserError, unknown_name
from spillover.models.fingerprint import (
    appends_special_tokens,
    parameter_count,
    read_json,
    tokenizer_fingerprint,
    weights_fingerprint,
)
from spillover.models.reading import reading
from spillover.models.spec import FACTS_FILE, ModelKind, ResolvedModel, model_specs

CONTEXT_KEYS = ("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len", "max_sequence_length")
LONGEST_CARD, LONGEST_LICENCE = 100_000, 200
"""Characters of a model card, and of what it says of its licence, that are looked at."""


def resolve_model(
    name_or_path: str,
    *,
    cache: Path,
    pull: bool = True,
    folder: Path | None = None,
    accept_terms: bool = False,
    notice: Callable[[str], None] = print,
) -> ResolvedModel:
    """Return the model that a user's word means, its files on this disk.

    Tried in order: a name of the catalog, a folder, a ``.gguf`` file, a hub repository ``owner/name[@revision]``.

    Args:
        name_or_path: What the user wrote.
        cache: Root of the cache.
        pull: Whether a catalog model or hub repository may be fetched now; a ``.gguf`` file is always converted.
        folder: Already downloaded archives, for a catalog model.
        accept_terms: The user's agreement to a licence that asks for one.
        notice: Told licences and conversions, a line each.

    Raises:
        UserError: Nothing has this name, or what has it cannot be used.
    """
    from spillover.models import pull as pulling  # it loads the libraries that convert
    from spillover.models.hub import hub_folder

    specs = model_specs()
    path = Path(name_or_path).expanduser()
    if name_or_path in specs:
        spec = specs[name_or_path]
        if not pull and not pulling.converted_folder(spec.name, spec.sha256, cache=cache).is_dir():
            raise UserError(f"model {spec.name!r} is not in the cache; run: spillover models pull {spec.name}")
        found = pulling.pull(spec, cache=cache, folder=folder, accept_terms=accept_terms, notice=notice)
        return _described(spec.name, found, cache)
    if path.is_dir():
        return _described(path.resolve().name, path.resolve(), cache)
    if path.suffix == ".gguf":
        return _described(path.stem, pulling.pull_gguf(path, cache=cache, notice=notice), cache)
    if re.fullmatch(r"[\w-][\w.-]*/[\w.-]+(@[\w./-]+)?", name_or_path):
        return _described(name_or_path, hub_folder(name_or_path, local_files_only=not pull), cache)
    if len(path.parts) > 1:
        raise UserError(f"{name_or_path}: no such folder; expected a Hugging Face model folder or a .gguf file")
    raise unknown_name("model", name_or_path, specs)


def _described(name: str, path: Path, cache: Path) -> ResolvedModel:
    if (path / "adapter_config.json").is_file() and not (path / "config.json").is_file():
        raise UserError(f"{path}: an adapter, not a model; give the base model here")
    with reading(path, "this model folder cannot be read", "fetch or save it again"):
        kind, licence = _stated_kind_and_licence(path)
        return ResolvedModel(
            name=name,
            path=path,
            fingerprint=weights_fingerprint(path, cache=cache),
            tokenizer_fingerprint=tokenizer_fingerprint(path, cache=cache),
            parameter_count=parameter_count(path),
            kind=kind,
            licence=licence,
            context_length=context_length(path),
            appends_tokens=appends_special_tokens(path),
        )


def context_length(path: Path) -> int:
    """Return how many tokens the model of a folder takes; a config that does not say raises UserError."""
    config = read_json(path / "config.json")
    for settings in (config, config.get("text_config")):
        for key in CONTEXT_KEYS:
            if isinstance(settings, dict) and type(length := settings.get(key)) is int and length > 0:
                return length
    raise UserError(f"{path / 'config.json'}: no context length; expected one of {', '.join(CONTEXT_KEYS)}")


def _stated_kind_and_licence(path: Path) -> tuple[ModelKind, str]:
    """What the folder itself says: the facts of our conversion, or the model card's header."""
    if (path / FACTS_FILE).is_file():
        facts = read_json(path / FACTS_FILE)
        kind, licence = facts.get("kind"), str(facts.get("licence", "unstated"))
    elif (path / "README.md").is_file():
        with (path / "README.md").open(encoding="utf-8", errors="replace") as stream:
            kind, licence = _stated_by_card(stream.read(LONGEST_CARD))
    else:
        return "unstated", "unstated"
    licence = "".join(character if character.isprintable() else "\ufffd" for character in licence[:LONGEST_LICENCE])
    known = {word: word for word in get_args(ModelKind)}
    return known.get(str(kind), "unstated"), licence


def _stated_by_card(card: str) -> tuple[str, str]:
    """Return kind and licence of a model card, word or list, without reading the rest of its header as YAML."""
    header = re.match(r"---\n(.*?)\n---", card, re.S)
    lines = header[1] if header else ""
    kind = re.search(r"^kind: *[\"']?(\w+)", lines, re.M)
    licence = re.search(r"^licen[cs]e:(.*(?:\n *- .*)*)", lines, re.M)
    words = [line.strip(" -[]\"'") for line in re.split(r"[\n,]", licence[1])] if licence else []
    return kind[1] if kind else "", ", ".join(filter(None, words)) or "unstated"
