"""Fetching a model repository of the Hugging Face hub as data: weights, settings and tokenizer, never code."""

from pathlib import Path

from spillover.artifacts.cache import room_on_disk
from spillover.errors import UserError

WANTED = ("*.safetensors", "*.safetensors.index.json", "*.json", "*.txt", "*.model", "*.jinja", "README.md")
UNWANTED = ("*/*", "consolidated*.safetensors")
"""Sub-folders hold other formats, and consolidated files the same weights under other names."""


def hub_folder(
    repository: str, *, local_files_only: bool = False, endpoint: str | None = None, cache: Path | None = None
) -> Path:
    """Return the local copy of ``owner/name`` or ``owner/name@revision``, downloading what is missing.

    Args:
        repository: As the hub spells it; without a revision the newest.
        local_files_only: Never use the network.
        endpoint: Of another hub; by default the one huggingface_hub is configured for.
        cache: By default huggingface_hub's own, so that models downloaded before are found.

    Raises:
        UserError: No such repository, no access, or no network and no local copy.
    """
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    name, _, revision = repository.partition("@")
    try:
        with room_on_disk(Path(cache or constants.HF_HUB_CACHE)):
            return Path(
                snapshot_download(
                    name,
                    revision=revision or None,
                    endpoint=endpoint,
                    cache_dir=cache,
                    local_files_only=local_files_only,
                    allow_patterns=list(WANTED),
                    ignore_patterns=list(UNWANTED),
                )
            )
    except GatedRepoError as error:
        raise UserError(f"{name}: the hub gives this model only to accounts with access; run: hf auth login") from error
    except (RepositoryNotFoundError, RevisionNotFoundError, HFValidationError) as error:
        raise UserError(
            f"unknown model {repository!r}: no such folder, no model of `spillover models list`, and no such hub "
            f"repository or revision; check its spelling"
        ) from error
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        raise UserError(
            f"model {repository!r} is not on this disk and the hub cannot be reached; check the network, or give the "
            f"path of a local folder"
        ) from error
