"""Import what other programs publish as an `Edit`: some weights in full, a whole edited network, or a LoRA."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from turpentine.core.errors import EditError, UnsafeFile, WrongBase
from turpentine.core.safe_text import one_line
from turpentine.edits.edit import Edit
from turpentine.edits.formats.lora_file import is_lora, lora_deltas
from turpentine.edits.formats.unedited import refuse_edited
from turpentine.edits.provenance import Provenance
from turpentine.models import Model
from turpentine.models.loading.safe_reading import PICKLES

IMPORTED = "imported"
"""The method in the provenance of an imported edit."""

# An autoencoder that draws otherwise is no edit of what the model knows.
_PARTS = ("unet", "text_encoder", "text_encoder_2")
_WEIGHT_FILES = [
    re.compile(rf"(diffusion_pytorch_)?model{variant}(-\d+-of-\d+)?\.safetensors") for variant in ("", r"\.fp16")
]
_PART_OF_SEVERAL = re.compile(r".*-\d+-of-(\d+)\.safetensors")


def check_readable(path: str | os.PathLike[str]) -> None:
    """Check a path as far as is possible without a model.

    Raises:
        EditError: Nothing is there.
        UnsafeFile: The file is a pickle; the message says how to convert it.
    """
    if not Path(path).exists():
        raise EditError(f"There is no edit at {one_line(str(path))}: check the path.")
    if Path(path).suffix in PICKLES:
        raise UnsafeFile(_why_no_pickle(Path(path)))


def import_edit(path: str | os.PathLike[str], model: Model) -> Edit:
    """Read what another program made of this model, as its difference to the model.

    Such files do not say what made them: the provenance's method is `imported`, its settings name the file.

    Args:
        path: A safetensors file that holds some weights in full under diffusers' names, as ESD (`esd-*.safetensors`)
            and UCE (`{module}.weight`) publish them, or a LoRA in the layout of diffusers, PEFT or kohya; or a folder
            with an edited UNet, or with a whole pipeline, in diffusers' layout.
        model: The model that it was made from, without edits on it. Weights are compared in the coarser number format
            of the two, so that rounding is no part of the edit.

    Raises:
        EditError: It cannot be read as an edit, or it differs in nothing.
        UnsafeFile: It is a pickle.
        WrongBase: It holds a weight that the model lacks or has in another shape.
        NotFinite: A weight holds NaN or infinity.
    """
    check_readable(path)
    refuse_edited(model)
    path = Path(path)
    form, deltas = ("folder", _folder(path, model)) if path.is_dir() else _file(path, model)
    if not deltas:
        raise EditError(f"{one_line(str(path))} differs from {model.name} in nothing: is it the model itself?")
    settings = {"file": path.name, "form": form}
    return Edit(deltas, Provenance(IMPORTED, settings, base=model.fingerprint, model=model.name))


def _file(path: Path, model: Model) -> tuple[str, dict[str, Tensor]]:
    """Return the form and the deltas of a file; names without a component are the UNet's."""
    part = _PART_OF_SEVERAL.fullmatch(path.name)
    if part and int(part[1]) > 1:
        raise EditError(f"{one_line(str(path))} is one of {int(part[1])} parts of a network: give its folder.")
    with _opened(path) as file:
        names = file.keys()
        if not is_lora(names):
            return "weights", dict(_differences(file, ("", "unet."), model))
        tensors = {name: file.get_tensor(name) for name in names}
        deltas = lora_deltas(tensors, file.metadata() or {}, model)
        return "LoRA", {name: delta for name, delta in deltas.items() if delta.any()}


def _folder(path: Path, model: Model) -> dict[str, Tensor]:
    """Return the deltas of those parts of a pipeline that are there, or of the UNet by itself."""
    parts = {part: path / part for part in _PARTS if (path / part).is_dir()} or {"unet": path}
    deltas: dict[str, Tensor] = {}
    for part, folder in parts.items():
        names: set[str] = set()
        for each in _weight_files(folder):
            with _opened(each) as file:
                deltas |= _differences(file, (f"{part}.",), model)
                names |= {_bare(f"{part}.{key}") for key in file.keys()}  # noqa: SIM118
        _check_whole(folder, part, names, model)
    return deltas


def _check_whole(folder: Path, part: str, names: set[str], model: Model) -> None:
    """Refuse the folder of a network that is not all there: what is missing would count as left as it was."""
    missing = sorted(name for name in _weight_names(model) if name.startswith(f"{part}.") and name not in names)
    if missing:
        raise EditError(
            f"{one_line(str(folder))} lacks {len(missing)} weights of a whole network, {missing[0]} among them: "
            "get a whole copy, with all parts of its weights."
        )


def _weight_files(folder: Path) -> list[Path]:
    """Return the safetensors files of a network; those of the fp16 variant only if there are no others."""
    for pattern in _WEIGHT_FILES:
        files = [path for path in sorted(folder.iterdir()) if pattern.fullmatch(path.name)]
        if files:
            return files
    for path in sorted(folder.iterdir()):
        if path.suffix in PICKLES:
            raise UnsafeFile(_why_no_pickle(path))
    raise EditError(f"{one_line(str(folder))} holds no weights in diffusers' layout: give the folder of a UNet.")


def _differences(file: Any, prefixes: tuple[str, ...], model: Model) -> Iterator[tuple[str, Tensor]]:
    """Yield ΔW of each weight of a file that differs; the prefixes are tried before the file's names."""
    weight_names, keys = _weight_names(model), file.keys()
    for key in keys:
        if key.endswith(".position_ids"):  # a count from 0 that old files carry
            continue
        candidates = (_bare(prefix + key) for prefix in prefixes)
        name = next((weight_names[candidate] for candidate in candidates if candidate in weight_names), None)
        if name is None:
            raise WrongBase(f"it holds {one_line(key)}, and the model {model.name} has no such weight.")
        delta = _difference(name, file.get_tensor(key), model)
        if delta.any():
            yield name, delta


def _difference(name: str, weight: Tensor, model: Model) -> Tensor:
    base = model.parameter(name).detach().cpu()
    if weight.shape != base.shape:
        raise WrongBase(f"its {name} has the shape {tuple(weight.shape)} and the model's {tuple(base.shape)}.")
    if not weight.is_floating_point():
        raise EditError(f"its {name} holds {weight.dtype}, which is no weight: get it in fp16, bf16 or fp32.")
    coarse = max(weight.dtype, base.dtype, key=lambda dtype: torch.finfo(dtype).eps)
    return weight.to(coarse).float() - base.to(coarse).float()


def _weight_names(model: Model) -> dict[str, str]:
    """Return the dotted names of the model's weights, by the name without `text_model`."""
    names = (f"{part}.{name}" for part, network in model.components.items() for name, _ in network.named_parameters())
    return {_bare(name): name for name in names}


def _bare(name: str) -> str:
    """Return the name without the level `text_model`, which transformers 5 took out of its text encoder."""
    return name.replace(".text_model.", ".", 1)


def _why_no_pickle(path: Path) -> str:
    return (
        f"{one_line(str(path))} is a pickle, which could run any code: where you trust its maker, read it with "
        "torch.load(path, weights_only=True), write its tensors with safetensors.torch.save_file, and give that file."
    )


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Open a safetensors file; any error in or of it becomes an EditError that names it."""
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except EditError as error:
        raise type(error)(f"{one_line(str(path))}: {error}") from error
    except (SafetensorError, LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise EditError(f"{one_line(str(path))} cannot be read as an edit: {one_line(str(error))}.") from error
