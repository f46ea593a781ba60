"""Pipelines from the Hugging Face hub: what must be fetched, and fetching it. Safetensors only."""

from __future__ import annotations

import re
from pathlib import Path

from huggingface_hub import HfApi, hf_hub_download, try_to_load_from_cache
from huggingface_hub.errors import (
    GatedRepoError,
    HFValidationError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
)
from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

from turpentine.core.errors import ModelNotFound
from turpentine.core.formatting import file_size
from turpentine.core.library_errors import is_unreachable
from turpentine.core.safe_text import one_line
from turpentine.models.loading.safe_reading import NoNetwork, clear_errors

# A component's own weights: neither a variant such as fp16 nor a second copy such as non_ema, and in parts or whole.
_WEIGHTS = re.compile(r"(?!safety_checker)\w+/(diffusion_pytorch_)?model(-\d+-of-\d+)?\.safetensors")
_PATIENCE = 5.0


def is_hub_id(source: str) -> bool:
    """Return whether a source can be a hub id: an existing or absolute path, or a .safetensors file, is none."""
    path = Path(source).expanduser()
    return source.count("/") == 1 and not (path.exists() or path.is_absolute() or path.suffix == ".safetensors")


def to_fetch(source: str) -> str | None:
    """Return which files the hub must send before a model can be read, with their size; None for nothing."""
    if not is_hub_id(source):
        return None
    if _has_weights(source) or not is_repository_name(source):
        return None
    return f"{one_line(source)} from the Hugging Face hub ({_size(source)})"


def is_repository_name(source: str) -> bool:
    """Return whether a repository of the hub could be called so, with or without its owner."""
    try:
        validate_repo_id(source)
    except HFValidationError:
        return False
    return True


def is_cached(source: str, *files: str, revision: str | None = None) -> bool:
    """Return whether one of some files of a hub repository is in the local cache.

    Args:
        source: The hub id.
        files: Their paths in the repository.
        revision: Of the repository; the newest by default.
    """
    try:
        return any(isinstance(try_to_load_from_cache(source, file, revision=revision), str) for file in files)
    except HFValidationError:
        return False


def cached_file(source: str, name: str) -> Path | None:
    """Return a file of a hub repository in the local cache; None where it is not there.

    Args:
        source: The hub id.
        name: The file's path in the repository.
    """
    try:
        path = try_to_load_from_cache(source, name)
    except HFValidationError:
        return None
    return Path(path) if isinstance(path, str) else None


def _has_weights(source: str) -> bool:
    """Return whether a repository's index is in the local cache with some weights, and not alone."""
    index = cached_file(source, "model_index.json")
    return index is not None and any(index.parent.glob("*/*.safetensors"))


def check_on_hub(source: str, *files: str, revision: str | None = None) -> None:
    """Check that the hub has a repository that is not in the local cache, by one short question.

    The hub's own client asks again and again, for a minute, where there is no network.

    Args:
        source: The hub id.
        files: Paths in the repository; nothing is asked if one of them is in the cache.
        revision: Of the repository; the newest by default.

    Raises:
        ModelNotFound: It has none, or cannot be reached.
    """
    if is_cached(source, *files, revision=revision):
        return
    absent = f"{one_line(source)!r} is neither a folder here nor to be had from the hub"
    try:
        HfApi().model_info(source, revision=revision, timeout=_PATIENCE)
    except HFValidationError:
        raise ModelNotFound(f"{absent}: no repository can be called so.") from None
    except GatedRepoError as error:
        raise ModelNotFound(f"{absent}, which has its terms accepted first: log in by `hf auth login`.") from error
    except RepositoryNotFoundError as error:
        raise ModelNotFound(f"{absent}, which shows none of this name: check how it is spelt.") from error
    except (NoNetwork, OfflineModeIsEnabled, OSError, RuntimeError) as error:
        # What else the hub has against the question it says again where the files are fetched.
        if is_unreachable(error) or isinstance(error, ConnectionError | TimeoutError):
            raise ModelNotFound(f"{absent}, which cannot be reached: give a folder, or connect to it.") from error


def fetch(source: str) -> Path:
    """Return the snapshot of a hub repository in the local cache, downloading it if it is not there.

    Raises:
        ModelNotFound: It is neither in the cache nor to be had from the hub.
    """
    from diffusers import DiffusionPipeline

    from turpentine.models.loading.quiet_logging import quiet

    with (
        quiet(bars=True),
        clear_errors(f"The model {one_line(source)!r} is neither a folder here nor to be had from the hub"),
    ):
        return Path(DiffusionPipeline.download(source, use_safetensors=True, safety_checker=None))


def fetch_file(source: str, name: str) -> Path:
    """Return one file of a hub repository in the local cache, downloading it if it is not there.

    Raises:
        ModelNotFound: It is neither in the cache nor to be had from the hub.
    """
    with clear_errors(f"{name} of {one_line(source)!r} is neither here nor to be had from the hub"):
        return Path(hf_hub_download(source, name))


def _size(source: str) -> str:
    try:
        files = HfApi().model_info(source, files_metadata=True, timeout=_PATIENCE).siblings or []
    except (NoNetwork, OfflineModeIsEnabled, OSError, RuntimeError):
        return "of a size that is not known"
    total = sum(file.size or 0 for file in files if _WEIGHTS.fullmatch(file.rfilename))
    return file_size(total) if total else "of a size that is not known"
