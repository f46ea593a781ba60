"""Loading a model: the embedded one, the hub, a folder, a single file, or a pipeline object. Never a pickle."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

import diffusers
import torch
from diffusers.pipelines.pipeline_utils import DiffusionPipeline
from diffusers.utils import logging as diffusers_logging
from safetensors import SafetensorError, safe_open
from transformers.utils import logging as transformers_logging

from turpentine.errors import ModelNotFound, UnsafeFile, UnsupportedModel
from turpentine.files import one_line
from turpentine.models.model import COMPONENTS, Model

_PICKLES = {".bin", ".ckpt", ".pt", ".pth", ".pkl"}
_CLASSES = {"StableDiffusionPipeline", "StableDiffusionXLPipeline"}
_SINGLE_FILE_PARTS = {
    ("model.diffusion_model.",): "denoiser",
    ("first_stage_model.",): "autoencoder",
    ("cond_stage_model.", "conditioner."): "text encoder",
}


def load(
    source: str | Path | DiffusionPipeline = "emoji",
    *,
    device: str | torch.device | None = None,
    dtype: torch.dtype | None = None,
    config: str | Path | None = None,
) -> Model:
    """Load a model.

    source: "emoji", the embedded model; a diffusers folder; a single `.safetensors` file; a hub id such as
        "CompVis/stable-diffusion-v1-4", from the local cache or the hub; or a pipeline, which is used as it is.
    device: by default CUDA if there is one, else the CPU. dtype: by default fp16 on CUDA and fp32 elsewhere.
    config: for a single file, the diffusers folder or hub id with the configs and tokenizers of its family; by default
        diffusers finds out which family it is and gets them from the local cache or the hub.
    Raises ModelNotFound, UnsafeFile for a pickle, UnsupportedModel for another family.
    """
    if isinstance(source, DiffusionPipeline):
        return _placed(source, device, dtype, "")
    where = torch.device(device) if device else _default_device()
    number = dtype or (torch.float16 if where.type == "cuda" else torch.float32)
    with _quiet():
        pipeline = _read(str(source), number, config)
    return _placed(pipeline, where, None, str(source))


def _default_device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _placed(pipeline: Any, device: Any, dtype: torch.dtype | None, name: str) -> Model:
    if device is not None or dtype is not None:
        pipeline.to(device=device, dtype=dtype)
    model = Model(pipeline, name)
    # SDXL's autoencoder overflows in fp16; its config says so, but so do the configs of autoencoders that do not.
    if model.components.get("text_encoder_2") is not None and pipeline.vae.config.force_upcast:
        pipeline.vae.to(torch.float32)
    return model


def _read(source: str, dtype: torch.dtype, config: str | Path | None) -> Any:
    path = _embedded() if source == "emoji" else Path(source).expanduser()
    if path.is_dir():
        return _read_folder(path, dtype)
    if path.suffix in _PICKLES:
        raise UnsafeFile(_refusal(path))
    if path.is_file() and path.suffix == ".safetensors":
        return _read_file(path, dtype, config)
    if path.exists() or path.suffix == ".safetensors" or path.is_absolute() or source.count("/") != 1:
        raise ModelNotFound(
            f"There is no model at {one_line(str(path))}: give a diffusers folder, a .safetensors file or a hub id."
        )
    return _read_folder(_download(source), dtype)


def _embedded() -> Path:
    return Path(str(files("turpentine"))) / "emoji" / "weights"


def _refusal(path: Path) -> str:
    return (
        f"{one_line(str(path))} is a pickle, which could run any code: "
        "convert it to safetensors, or get the model's .safetensors files."
    )


def _read_folder(folder: Path, dtype: torch.dtype) -> Any:
    """A folder in diffusers' layout: only the two known pipelines, only safetensors, no code of its own."""
    name = _class_of(folder)
    for component in COMPONENTS:
        _check_weights(folder / component)
    with _clear(f"The model in {one_line(str(folder))} cannot be read"):
        return getattr(diffusers, name).from_pretrained(
            folder,
            dtype=dtype,
            use_safetensors=True,
            local_files_only=True,
            variant=_variant(folder),
            **_no_checker(name),
        )


def _no_checker(name: str) -> dict[str, Any]:
    """Leave out the safety checker, a network of its own that blackens pictures; SDXL has none."""
    if name != "StableDiffusionPipeline":
        return {}
    return {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}


def _class_of(folder: Path) -> str:
    with _clear(f"The folder {one_line(str(folder))} holds no model in diffusers' layout"):
        index = json.loads((folder / "model_index.json").read_text(encoding="utf-8"))
    name = index.get("_class_name")
    if name not in _CLASSES:
        raise UnsupportedModel(
            f"{one_line(str(folder))} is a {one_line(str(name))}: Turpentine works on {' and '.join(sorted(_CLASSES))}."
        )
    return str(name)


def _check_weights(component: Path) -> None:
    """Refuse a component that has its weights as a pickle only, before anything is read."""
    if not component.is_dir() or any(component.glob("*.safetensors")):
        return
    pickles = [path for path in sorted(component.iterdir()) if path.suffix in _PICKLES]
    if pickles:
        raise UnsafeFile(_refusal(pickles[0]))
    raise ModelNotFound(f"{one_line(str(component))} holds no .safetensors file: the model is not all there.")


def _variant(folder: Path) -> str | None:
    """fp16 where the denoiser is there as such and in no other number format."""
    weights = [path.name for path in (folder / "unet").glob("*.safetensors")]
    return "fp16" if weights and all(".fp16." in name or ".fp16-" in name for name in weights) else None


def _read_file(path: Path, dtype: torch.dtype, config: str | Path | None) -> Any:
    """A single file in the layout of the original Stable Diffusion; configs and tokenizers are not in it."""
    kind = _class_of_file(path)
    way_out = "give config=, a diffusers folder or hub id of its family, for the configs and tokenizers"
    with _clear(f"The model {one_line(str(path))} cannot be read ({way_out})"):
        return getattr(diffusers, kind).from_single_file(
            str(path), dtype=dtype, config=str(config) if config else None, **_no_checker(kind)
        )


def _class_of_file(path: Path) -> str:
    """Which pipeline a single file is for; it must hold the denoiser, the autoencoder and the text encoder."""
    with _clear(f"The file {one_line(str(path))} cannot be read"), safe_open(path, framework="pt") as file:
        names = list(file.keys())
    for prefixes, part in _SINGLE_FILE_PARTS.items():
        if not any(name.startswith(prefixes) for name in names):
            raise ModelNotFound(
                f"{one_line(str(path))} holds no {part}: it is not a whole Stable Diffusion model in a single file."
            )
    is_xl = any(name.startswith("conditioner.embedders.1.") for name in names)
    return "StableDiffusionXLPipeline" if is_xl else "StableDiffusionPipeline"


def _download(source: str) -> Path:
    """The snapshot of a hub repository in the local cache, fetched if it is not there; safetensors only."""
    with _clear(f"The model {one_line(source)!r} is neither a folder here nor to be had from the hub"):
        return Path(DiffusionPipeline.download(source, use_safetensors=True, safety_checker=None))


@contextmanager
def _clear(sentence: str) -> Iterator[None]:
    """Turn a library's error into one sentence with its first line; ours pass as they are."""
    try:
        yield
    except (OSError, ValueError, KeyError, RuntimeError, TypeError, SafetensorError) as error:
        raise ModelNotFound(f"{sentence}: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return one_line(lines[0]) if lines else type(error).__name__


@contextmanager
def _quiet() -> Iterator[None]:
    """No progress bars and no warnings of the libraries while they load; afterwards as before."""
    before = [(library, library.get_verbosity()) for library in (diffusers_logging, transformers_logging)]
    for library, _ in before:
        library.set_verbosity_error()
        library.disable_progress_bar()
    try:
        yield
    finally:
        for library, verbosity in before:
            library.set_verbosity(verbosity)
            library.enable_progress_bar()
