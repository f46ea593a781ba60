"""Import what other programs publish as an `Edit`: some weights in full, a whole edited network, or a LoRA."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from turpentine.core.errors import EditError, UnsafeFile, WrongBase
from turpentine.core.safe_text import one_line
from turpentine.edits.edit import Edit
from turpentine.edits.formats.lora_file import edited_parts, is_lora, lora_deltas, says_scale
from turpentine.edits.formats.peft_config import CONFIG, WEIGHTS, read_config
from turpentine.edits.formats.unedited import refuse_edited
from turpentine.edits.places import check_readable, why_no_pickle
from turpentine.edits.provenance import Provenance
from turpentine.models import Model
from turpentine.models.loading.safe_reading import PICKLES

IMPORTED = "imported"
"""The method in the provenance of an imported edit."""

_VARIANT = re.compile(r"(diffusion_pytorch_)?model\.[\w-]+\.safetensors")
_NETWORK_FILE = re.compile(r"(diffusion_pytorch_)?model(\.[\w-]+)?(-\d+-of-\d+)?\.safetensors")
_PART_OF_SEVERAL = re.compile(r".*-\d+-of-(\d+)\.safetensors")


def import_edit(path: str | os.PathLike[str], model: Model) -> Edit:
    """Read what another program made of this model, as its difference to the model.

    Such files do not say what made them: the provenance's method is `imported`, its settings name the file.

    Args:
        path: A safetensors file that holds some weights in full under diffusers' names, as ESD (`esd-*.safetensors`)
            and UCE (`{module}.weight`) publish them and `save_changed_weights` writes them, an edited text encoder
            alone, or a LoRA in the layout of diffusers, PEFT or kohya; or a folder with one of these, or with a whole
            pipeline in diffusers' layout. Of PEFT's adapters the scale is in `adapter_config.json` beside them.
        model: The model that it was made from, without edits on it. Weights are compared in the coarser number format
            of the two, so that rounding is no part of the edit.

    Raises:
        EditError: It cannot be read as an edit, holds several saves, or differs in nothing.
        UnsafeFile: It is a pickle.
        WrongBase: It holds a weight that the model lacks or has in another shape.
        NotFinite: A weight holds NaN or infinity.
    """
    check_readable(path)
    refuse_edited(model)
    path = Path(path)
    form, deltas = (_folder if path.is_dir() else _file)(path, model)
    if not deltas:
        raise EditError(f"{one_line(str(path))} differs from {model.name} in nothing: is it the model itself?")
    settings = {"file": path.name, "form": form}
    return Edit(deltas, Provenance(IMPORTED, settings, base=model.fingerprint, model=model.name))


def _file(path: Path, model: Model, component: str = "") -> tuple[str, dict[str, Tensor]]:
    """Return the form and the deltas of a file, whose names may be inside of a component."""
    part = _PART_OF_SEVERAL.fullmatch(path.name)
    if part and int(part[1]) > 1:
        raise EditError(f"{one_line(str(path))} is one of {int(part[1])} parts of a network: give its folder.")
    with _opened(path) as file:
        names = list(file.keys())
        if not is_lora(names):
            return "weights", dict(_differences(file, _prefixes([file], model, component), model))
        tensors, metadata = {name: file.get_tensor(name) for name in names}, file.metadata() or {}
        has_record = (path.parent / CONFIG).is_file()
        is_pefts = any(map(_is_pefts, names)) and (path.name == WEIGHTS or has_record)
        # Under PEFT's own file name the record counts for any names, unless the file says its scale itself.
        is_pefts = is_pefts or (path.name == WEIGHTS and has_record and not says_scale(names, metadata))
        config = read_config(path.parent) if is_pefts else None
        if config is None and any(map(_is_pefts, names)) and not says_scale(names, metadata):
            _warn_of_scale(path)
        deltas = lora_deltas(tensors, metadata, model, config=config, component=component)
        return "LoRA", {name: delta for name, delta in deltas.items() if delta.any()}


def _is_pefts(name: str) -> bool:
    return name.startswith("base_model.model.")


def _warn_of_scale(path: Path) -> None:
    """Warn of an adapter that was taken out of PEFT's folder: the scale is in the file that stayed there."""
    warnings.warn(
        f"{one_line(str(path))} does not say its scale, which PEFT writes into {CONFIG} beside it: it is taken for 1.",
        stacklevel=4,
    )


def _folder(path: Path, model: Model) -> tuple[str, dict[str, Tensor]]:
    """Return the form and the deltas of those parts of a pipeline that are there, or of one network or LoRA."""
    networks = edited_parts(model)
    parts = {part: path / part for part in networks if (path / part).is_dir()}
    if not parts:
        return _network(path, model, path.name if path.name in networks else "")
    if _has_weights(path) and not (path / "model_index.json").is_file():
        raise EditError(_several(path, [each.name for each in _weight_files(path)] + list(parts)))
    if (path / "vae").is_dir():
        _warn_of_autoencoder(path / "vae", model)
    forms: dict[str, None] = {}
    deltas: dict[str, Tensor] = {}
    for part, folder in parts.items():
        form, differences = _network(folder, model, part)
        forms[form] = None
        deltas |= differences
    return " and ".join(forms), deltas


def _network(path: Path, model: Model, component: str) -> tuple[str, dict[str, Tensor]]:
    """Return the form and the deltas of a folder with one network, edited or with a LoRA."""
    files = _weight_files(path)
    with ExitStack() as stack:
        opened = [stack.enter_context(_opened(each)) for each in files]
        keys = [key for file in opened for key in list(file.keys())]
        if not is_lora(keys) and _NETWORK_FILE.fullmatch(files[0].name):
            prefixes = _prefixes(opened, model, component)
            _check_whole(path, prefixes, keys, model)
            return "folder", {name: delta for file in opened for name, delta in _differences(file, prefixes, model)}
    form, deltas = _file(files[0], model, component)
    return ("folder" if form == "weights" else form), deltas


def _warn_of_autoencoder(folder: Path, model: Model) -> None:
    """Warn of an autoencoder that differs: one that draws otherwise is no edit of what the model knows."""
    for each in _weight_files(folder):
        with _opened(each) as file:
            if next(_differences(file, ("vae.",), model), None):
                warnings.warn(
                    f"The autoencoder in {one_line(str(folder))} differs from the model's, and is no part of the edit.",
                    stacklevel=5,
                )
                return


def _has_weights(folder: Path) -> bool:
    return any(_is_weights(path) for path in folder.iterdir())


def _is_weights(path: Path) -> bool:
    """Return whether a file is tensors: macOS leaves hidden ones of the same ending on other file systems."""
    return path.suffix == ".safetensors" and not path.name.startswith(".")


def _check_whole(folder: Path, prefixes: tuple[str, ...], keys: Sequence[str], model: Model) -> None:
    """Refuse the folder of a network that is not all there: what is missing would count as left as it was."""
    names = {_bare(prefix + key) for prefix in prefixes for key in keys}
    missing = sorted(name for name in _weight_names(model) if name.startswith(prefixes[-1]) and name not in names)
    if missing:
        raise EditError(
            f"{one_line(str(folder))} lacks {len(missing)} weights of a whole network, {missing[0]} among them: "
            "get a whole copy, with all parts of its weights."
        )


def _weight_files(folder: Path) -> list[Path]:
    """Return the files of the one save in a folder: a network's, in parts or whole, or any single file.

    Variants, such as fp16, count only if there is nothing else.

    Raises:
        EditError: There is none, or there are several saves.
        UnsafeFile: There are pickles only.
    """
    files = [path for path in sorted(folder.iterdir()) if _is_weights(path)]
    saves: dict[str, list[Path]] = {}
    for path in files:
        saves.setdefault(re.sub(r"-\d+-of-", "-of-", path.name), []).append(path)
    plain = {name: paths for name, paths in saves.items() if not _VARIANT.match(name)}
    saves = plain or saves
    if len(saves) > 1:
        raise EditError(_several(folder, [paths[0].name for paths in saves.values()]))
    for paths in saves.values():
        return paths
    for path in sorted(folder.iterdir()):
        if path.suffix in PICKLES:
            raise UnsafeFile(why_no_pickle(path))
    inside = [path.parent.relative_to(folder) for path in sorted(folder.glob(f"*/{WEIGHTS}"))]
    if inside:
        raise EditError(_several(folder, list(map(str, inside))))
    raise EditError(f"{one_line(str(folder))} holds no weights in diffusers' layout: give the folder of a UNet.")


def _several(folder: Path, names: Sequence[str]) -> str:
    listed = ", ".join(map(one_line, names))
    return f"{one_line(str(folder))} holds {len(names)} saves ({listed}): give the one that is meant."


def _prefixes(files: Sequence[Any], model: Model, component: str) -> tuple[str, ...]:
    """Return what may stand before the files' names: a component's name, or for the denoiser's nothing.

    Raises:
        EditError: Two text encoders have all of these weights, in these shapes.
    """
    if component:
        return (f"{component}.",)
    shapes = {name: tuple(file.get_slice(name).get_shape()) for file in files for name in list(file.keys())}
    own = _weight_names(model)
    denoiser, *encoders = edited_parts(model)
    possible: list[tuple[str, ...]] = [("", f"{denoiser}."), *((f"{encoder}.",) for encoder in encoders)]
    fitting = [prefixes for prefixes in possible if all(_fits(*each, prefixes, own, model) for each in shapes.items())]
    if len(fitting) > 1 and fitting[0] != possible[0]:
        raise EditError("its weights fit two text encoders: name its folder after the one that it is of.")
    return fitting[0] if fitting else possible[0]


def _fits(key: str, shape: tuple[int, ...], prefixes: Sequence[str], own: Mapping[str, str], model: Model) -> bool:
    names = [own[_bare(prefix + key)] for prefix in prefixes if _bare(prefix + key) in own]
    return _is_counted(key) or any(tuple(model.parameter(name).shape) == shape for name in names)


def _is_counted(key: str) -> bool:
    """Return whether a name is of the count from 0 that old files carry."""
    return key.endswith("position_ids")


def _differences(file: Any, prefixes: tuple[str, ...], model: Model) -> Iterator[tuple[str, Tensor]]:
    """Yield ΔW of each weight of a file that differs; the prefixes are tried before the file's names."""
    weight_names, keys = _weight_names(model), file.keys()
    seen: set[str] = set()
    for key in keys:
        if _is_counted(key):
            continue
        candidates = (_bare(prefix + key) for prefix in prefixes)
        name = next((weight_names[candidate] for candidate in candidates if candidate in weight_names), None)
        if name is None and any(each.startswith("model.diffusion_model.") for each in keys):
            raise EditError("it is a whole model in one file, and no edit: give it as the model, as by --model.")
        if name is None:
            raise WrongBase(f"it holds {one_line(key)}, and the model {model.name} has no such weight.")
        if name in seen:
            raise EditError(f"it holds {name} twice, under two names: save it once.")
        seen.add(name)
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
    return _exact(weight.to(coarse).float(), base.to(coarse).float())


def _exact(weight: Tensor, base: Tensor) -> Tensor:
    """Return ΔW with which base + ΔW is the weight bit by bit, where fp32 has one.

    To a weight that is a power of two the rounded difference can lead past by a last bit; then a neighbour does it.
    """
    delta = weight - base
    if torch.equal(base + delta, weight):
        return delta
    for towards in (torch.inf, -torch.inf):
        neighbour = delta.nextafter(torch.tensor(towards))
        delta = torch.where((base + delta != weight) & (base + neighbour == weight), neighbour, delta)
    return delta


def _weight_names(model: Model) -> dict[str, str]:
    """Return the dotted names of the model's weights, by the name without `text_model`."""
    names = (f"{part}.{name}" for part, network in model.components.items() for name, _ in network.named_parameters())
    return {_bare(name): name for name in names}


def _bare(name: str) -> str:
    """Return the name without the level `text_model`, which transformers 5 took out of its text encoder."""
    return name.replace(".text_model.", ".", 1)


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
