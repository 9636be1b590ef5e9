"""What a model is, as a digest of its content: the same weights give the same name wherever they lie."""

import hashlib
import json
import math
import mmap
import os
import re
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from spillover.artifacts.cache import whole_file
from spillover.errors import UserError

FINGERPRINT_VERSION = 2
SINGLE_FILE, INDEX_FILE = "model.safetensors", "model.safetensors.index.json"
VOLATILE_KEYS = frozenset(
    {
        "_name_or_path", "_model_name_or_path", "name_or_path", "transformers_version", "dtype", "torch_dtype",
        "use_cache", "_attn_implementation", "attn_implementation", "_commit_hash", "is_local", "local_files_only",
        "tokenizer_file",
    }
)  # fmt: skip
"""Keys of config files that say where or with what a file was written, not what the model computes."""
VOLATILE_ADAPTER_KEYS = frozenset(
    {"base_model_name_or_path", "revision", "inference_mode", "peft_version", "auto_mapping", "task_type"}
)
"""Settings of an adapter that change nothing it computes."""
CONFIG_FILE, WEIGHTS_FILE = "adapter_config.json", "adapter_model.safetensors"
"""Of an adapter's folder in peft's format."""
TOKENIZER_FILES = (
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.json",
    "vocab.txt", "merges.txt", "tokenizer.model", "spiece.model", "sentencepiece.bpe.model",
)  # fmt: skip
POINTER = b"version https://git-lfs"
"""What a file begins with that Git LFS left in place of a large one."""
MOST_AXES = 16
LONGEST_HEADER = 100_000_000
"""Bytes; the limit of the safetensors format."""


@dataclass(frozen=True, slots=True)
class TensorEntry:
    """Where one tensor lies in a safetensors file."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    file: Path
    begin: int
    end: int


def weights_fingerprint(folder: Path, *, cache: Path | None = None) -> str:
    """Return the SHA-256 of a model folder's weights and configuration.

    It does not depend on how the tensors are split over files, on their order, or on any metadata. Tied tensors count
    as saved: a copy of the tie in the file is another fingerprint.

    Args:
        folder: A Hugging Face folder with safetensors weights.
        cache: Where to remember the answer under the files' paths, sizes and times, so that asking again costs
            milliseconds.
    """
    config = read_json(folder / "config.json")
    files = (folder / "config.json", *weight_files(folder))
    return _remembered("weights", files, cache, lambda: _digest_of(_without_volatile(config), tensor_entries(folder)))


def tokenizer_fingerprint(folder: Path, *, cache: Path | None = None) -> str:
    """Return the SHA-256 of all files that decide how text becomes token ids; ``cache`` as in `weights_fingerprint`."""
    files = tuple(folder / name for name in TOKENIZER_FILES if (folder / name).is_file())
    if not files:
        raise UserError(f"{folder}: no tokenizer files; expected tokenizer.json beside config.json")
    return _remembered("tokenizer", files, cache, lambda: _digest_of_tokenizer(files))


def appends_special_tokens(folder: Path) -> bool:
    """Whether the tokenizer of a folder says that it puts special tokens behind every text; nothing else is read."""
    settings = folder / "tokenizer_config.json"
    if settings.is_file() and read_json(settings).get("add_eos_token") is True:
        return True
    if not (folder / "tokenizer.json").is_file():
        return False
    text = (folder / "tokenizer.json").read_text(encoding="utf-8", errors="replace")
    found = re.search(r'"post_processor"\s*:\s*(?=\{)', text)
    if not found:
        return False
    try:
        return _appends(json.JSONDecoder().raw_decode(text, found.end())[0])
    except (ValueError, RecursionError):
        return False  # whatever reads it whole says so


def _appends(processor: object) -> bool:
    if not isinstance(processor, dict):
        return False
    if processor.get("type") in ("BertProcessing", "RobertaProcessing"):
        return True
    single, inner = processor.get("single"), processor.get("processors")
    pieces = [next(iter(piece), "") for piece in single if isinstance(piece, dict)] if isinstance(single, list) else []
    is_last = not pieces or pieces[-1] == "Sequence"
    return not is_last or any(_appends(part) for part in (inner if isinstance(inner, list) else ()))


def adapter_content_fingerprint(settings: Path, weights: Path, *, cache: Path | None = None) -> str:
    """Return the SHA-256 of an adapter: its settings, but for those that name its base or its maker, and its tensors.

    Args:
        settings: The adapter's JSON file of settings.
        weights: Its safetensors file.
        cache: As in `weights_fingerprint`.
    """
    content = {key: value for key, value in read_json(settings).items() if key not in VOLATILE_ADAPTER_KEYS}
    return _remembered("adapter", (settings, weights), cache, lambda: _digest_of(content, file_entries(weights)))


def file_entries(path: Path) -> tuple[TensorEntry, ...]:
    """Return the tensors of one safetensors file by name; a damaged file raises UserError."""
    return tuple(sorted(_entries_of(path), key=lambda entry: entry.name))


def vocabulary_size(folder: Path) -> int | None:
    """Return how many tokens the model of a folder has by its settings; None where nothing is said of it."""
    if not (folder / "config.json").is_file():
        return None
    config = read_json(folder / "config.json")
    for settings in (config.get("text_config"), config):
        if isinstance(settings, dict) and type(size := settings.get("vocab_size")) is int:
            return size
    return None


def parameter_count(folder: Path) -> int:
    """Return how many numbers the weights hold, tied tensors once."""
    return sum(math.prod(entry.shape) for entry in tensor_entries(folder))


def weight_files(folder: Path) -> tuple[Path, ...]:
    """Return the safetensors files that are the model's weights: the single file, or those of the index.

    Raises:
        UserError: There are none, or one that the index names is missing.
    """
    if (folder / SINGLE_FILE).is_file():
        return (folder / SINGLE_FILE,)
    if not (folder / INDEX_FILE).is_file():
        others = sorted({path.suffix for path in folder.glob("*") if path.suffix in (".bin", ".pt", ".pth", ".ckpt")})
        instead = f" (it has {', '.join(others)} files, which can run code and are never read)" if others else ""
        raise UserError(
            f"{folder}: no {SINGLE_FILE}{instead}; save the model again with save_pretrained as safetensors"
        )
    weight_map = read_json(folder / INDEX_FILE).get("weight_map")
    names = sorted({str(name) for name in weight_map.values()}) if isinstance(weight_map, dict) else []
    if not names:
        raise UserError(f"{folder / INDEX_FILE}: names no files; fetch or save the model again")
    for name in names:
        if Path(name).name != name or not (folder / name).is_file():
            raise UserError(f"{folder / INDEX_FILE}: names {name!r}, which is not a file beside it; copy it there")
    return tuple(folder / name for name in names)


def tensor_entries(folder: Path) -> tuple[TensorEntry, ...]:
    """Return the tensors of a model folder by name, read from the safetensors headers only.

    Raises:
        UserError: A file is damaged, or two files hold a tensor of the same name.
    """
    entries: dict[str, TensorEntry] = {}
    for path in weight_files(folder):
        for entry in _entries_of(path):
            if entry.name in entries:
                raise UserError(f"{path}: tensor {entry.name!r} is also in {entries[entry.name].file.name}; remove one")
            entries[entry.name] = entry
    return tuple(entries[name] for name in sorted(entries))


def read_json(path: Path) -> dict[str, object]:
    """Return the JSON object of a model folder's file; a missing or broken file raises UserError."""
    if not path.is_file():
        raise UserError(f"{path.parent}: no {path.name}; expected a Hugging Face model folder")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError, OSError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else error
        raise UserError(f"{path}: not readable as JSON ({reason}); fetch or save it again") from error
    if not isinstance(content, dict):
        raise UserError(f"{path}: expected a JSON object; fetch or save it again")
    return content


def _remembered(kind: str, files: Sequence[Path], cache: Path | None, compute: Callable[[], str]) -> str:
    """Return a digest of files, computed anew unless it was for files that look the same and is kept undamaged.

    Raises:
        UserError: If the files change while they are read: nothing would say what the digest is of.
    """
    if cache is None:
        return compute()
    facts = _facts(files)
    memo = cache / "fingerprints" / hashlib.sha256(_canonical([FINGERPRINT_VERSION, kind, facts])).hexdigest()
    if (kept := _kept(memo)) is not None:
        return kept
    fingerprint = compute()
    if changed := [path for path, before, now in zip(files, facts, _facts(files), strict=True) if before != now]:
        raise UserError(f"{changed[0]}: changed while it was read; wait until whoever writes it is done")
    with whole_file(memo) as temporary, temporary.open("wb") as opened:
        opened.write(_sealed(memo.name, fingerprint))
        opened.flush()
        os.fsync(opened.fileno())
    return fingerprint


def _facts(files: Sequence[Path]) -> list[tuple[str, int, int, int]]:
    """Return what looks otherwise after a change; a program can set back a size and the first time, not the second."""
    stated = ((path.resolve(), path.stat()) for path in files)
    return [(str(path), facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns) for path, facts in stated]


def _sealed(name: str, fingerprint: str) -> bytes:
    """Return the content of a memo: any other bytes under its name are damage."""
    return f"{fingerprint} {hashlib.sha256(f'{name} {fingerprint}'.encode()).hexdigest()}\n".encode()


def _kept(memo: Path) -> str | None:
    """Return the fingerprint of a memo; None where there is none, or a damaged one."""
    if not memo.is_file():
        return None
    content = memo.read_bytes()
    fingerprint = content[:64].decode("ascii", errors="replace")
    return fingerprint if content == _sealed(memo.name, fingerprint) else None


def _digest_of_tokenizer(files: Sequence[Path]) -> str:
    digest = hashlib.sha256()
    for path in files:
        content = path.read_bytes()
        if path.name == "tokenizer_config.json":  # in a vocabulary the same words are tokens
            content = _canonical(_without_volatile(read_json(path)))
        digest.update(_canonical([path.name, len(content)]) + content)
    return digest.hexdigest()


def _digest_of(settings: object, entries: Sequence[TensorEntry]) -> str:
    digest = hashlib.sha256(_canonical([FINGERPRINT_VERSION, settings]))
    maps: dict[Path, mmap.mmap] = {}
    try:
        for entry in entries:
            if entry.file not in maps:
                with entry.file.open("rb") as stream:
                    maps[entry.file] = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
            digest.update(_canonical([entry.name, entry.dtype, list(entry.shape)]))
            with memoryview(maps[entry.file]) as view, view[entry.begin : entry.end] as part:
                digest.update(part)
    finally:
        for mapped in maps.values():
            mapped.close()
    return digest.hexdigest()


def _entries_of(path: Path) -> Iterator[TensorEntry]:
    """Read the header: its length (8 bytes, little-endian), then JSON of name to dtype, shape and byte offsets."""
    size = path.stat().st_size
    try:
        with path.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            if length > min(LONGEST_HEADER, size - 8):
                raise ValueError("header longer than the file")
            header = json.loads(stream.read(length))
        start = 8 + length
        for name, fields in header.items():
            if name == "__metadata__":
                continue
            begin, end = fields["data_offsets"]
            if not 0 <= begin <= end <= size - start:
                raise ValueError(f"tensor {name!r} lies outside the file")
            dtype, shape = fields["dtype"], tuple(fields["shape"])
            if not _is_sound(dtype, shape, end - begin):
                raise ValueError(f"tensor {name!r} of {dtype!r} {fields['shape']!r:.80} is no array of its bytes")
            yield TensorEntry(name, dtype, shape, path, start + begin, start + end)
    except (struct.error, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        with path.open("rb") as stream:
            pointer = stream.read(len(POINTER)) == POINTER
        reason = "a Git LFS pointer in its place: run git lfs pull" if pointer else str(error)[:200]
        raise UserError(f"{path}: damaged safetensors file ({reason}); fetch or save it again") from error


def _is_sound(dtype: object, shape: tuple[object, ...], byte_count: object) -> bool:
    """Whether the bytes are those of an array; of a type that is not known here only the form is looked at."""
    sizes = [size for size in shape if type(size) is int and 0 <= size < 2**63]
    if not isinstance(dtype, str) or type(byte_count) is not int or len(sizes) < len(shape) or len(shape) > MOST_AXES:
        return False
    digits = dtype.partition("_")[0].lstrip("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    bits = 8 if dtype == "BOOL" else int(digits) if digits.isdigit() else None
    return bits is None or math.prod(sizes) * bits == byte_count * 8


def _without_volatile(value: object) -> object:
    if isinstance(value, dict):
        return {key: _without_volatile(entry) for key, entry in value.items() if key not in VOLATILE_KEYS}
    return value


def _canonical(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode("utf-8") + b"\n"
