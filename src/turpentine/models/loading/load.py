"""Loading a model: the embedded one, the hub, a folder, a single file, or a pipeline object. Never a pickle."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from turpentine.core.errors import ModelNotFound, UnsafeFile
from turpentine.core.safe_text import one_line
from turpentine.emoji import WEIGHTS
from turpentine.models.loading.folder import read_folder
from turpentine.models.loading.hub import fetch, is_hub_id
from turpentine.models.loading.quiet_logging import quiet
from turpentine.models.loading.safe_reading import PICKLES, pickle_refused
from turpentine.models.loading.single_file import config_of, read_file
from turpentine.models.model import Model

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline


def load(
    source: str | Path | DiffusionPipeline = "emoji",
    *,
    device: str | torch.device | None = None,
    dtype: torch.dtype | None = None,
    config: str | Path | None = None,
) -> Model:
    """Load a model.

    Args:
        source: "emoji", the embedded model; a diffusers folder; a single `.safetensors` file; a hub id such as
            "CompVis/stable-diffusion-v1-4", from the local cache or the hub; or a pipeline, which is used as it is.
        device: By default CUDA if there is one, else the CPU.
        dtype: By default fp16 on CUDA and fp32 elsewhere.
        config: For a single file, the diffusers folder or hub id with the configs and tokenizers of its family; by
            default those of the model that a file of ours was exported from, if they are here; else diffusers finds out
            which family it is and gets them from the local cache or the hub.

    Raises:
        ModelNotFound: There is no model, or not all of it.
        UnsafeFile: A pickle.
        UnsupportedModel: A model of another family.

    Example:
        >>> load().describe()["family"]
        'Stable Diffusion'
    """
    if not isinstance(source, str | Path):
        return _placed(source, device, dtype, "")
    where = torch.device(device) if device else _default_device()
    number = dtype or (torch.float16 if where.type == "cuda" else torch.float32)
    # bf16 rounds more than the fingerprint does, which is therefore taken of what the files hold.
    read_as = torch.float32 if number == torch.bfloat16 else number
    path = _locate(str(source))
    with quiet():
        pipeline = read_folder(path, read_as) if path.is_dir() else read_file(path, read_as, config or config_of(path))
        _check_filled(pipeline, str(source))
    return _placed(pipeline, where, number if number != read_as else None, str(source))


def _default_device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _placed(pipeline: Any, device: Any, dtype: torch.dtype | None, name: str) -> Model:
    model = Model(pipeline, name)
    if dtype == torch.bfloat16:
        _ = model.fingerprint  # which is kept
    if device is not None or dtype is not None:
        with quiet():
            pipeline.to(device=device, dtype=dtype)
    for component in model.family.full_precision():
        with quiet():
            model.components[component].to(torch.float32)
    return model


def _locate(source: str) -> Path:
    """Return the folder or single file of a model, fetched from the hub if it is not here."""
    path = WEIGHTS if source == "emoji" else Path(source).expanduser()
    if path.is_dir() or (path.is_file() and path.suffix == ".safetensors"):
        return path
    if path.suffix in PICKLES:
        raise UnsafeFile(pickle_refused(path))
    if not is_hub_id(source):
        raise ModelNotFound(
            f"There is no model at {one_line(str(path))}: give a diffusers folder, a .safetensors file or a hub id."
        )
    return fetch(source)


def _check_filled(pipeline: Any, source: str) -> None:
    """Refuse a model with a weight missing: diffusers leaves it without numbers."""
    for component, network in pipeline.components.items():
        for name, weight in network.named_parameters() if isinstance(network, torch.nn.Module) else ():
            if weight.is_meta:
                raise ModelNotFound(f"{one_line(source)} holds no weight '{component}.{name}': it is not all there.")
