"""Pipelines from the Hugging Face hub: what must be fetched, and fetching it. Safetensors only."""

from __future__ import annotations

import re
from pathlib import Path

from huggingface_hub import HfApi, hf_hub_download, try_to_load_from_cache
from huggingface_hub.errors import HFValidationError, OfflineModeIsEnabled

from turpentine.core.formatting import file_size
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
    try:
        if isinstance(try_to_load_from_cache(source, "model_index.json"), str):
            return None
    except HFValidationError:
        return None
    return f"{one_line(source)} from the Hugging Face hub ({_size(source)})"


def fetch(source: str) -> Path:
    """Return the snapshot of a hub repository in the local cache, downloading it if it is not there.

    Raises:
        ModelNotFound: It is neither in the cache nor to be had from the hub.
    """
    from diffusers import DiffusionPipeline

    with clear_errors(f"The model {one_line(source)!r} is neither a folder here nor to be had from the hub"):
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
