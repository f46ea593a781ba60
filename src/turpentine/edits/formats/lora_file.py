"""Read published LoRAs as ΔW by weight name: the layouts of diffusers, PEFT and kohya.

diffusers and PEFT read these into adapter layers of a pipeline, by private converters of names; neither gives ΔW, which
an edit is made of.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from turpentine.core.errors import EditError, WrongBase
from turpentine.core.safe_text import one_line
from turpentine.edits.formats.peft_config import check_config, scale_of
from turpentine.models import Model

_PART = re.compile(
    r"(?P<layer>.+?)[._](?P<part>lora_A|lora_B|lora_down|lora_up|lora\.down|lora\.up"
    r"|lora_linear_layer\.down|lora_linear_layer\.up)(?:\.(?P<adapter>[^.]+))?\.weight"
)
_PREFIXES = {
    r"^(base_model_model_|(model_)?diffusion_model_)": "unet_",
    r"^lora_": "",
    r"^te1?_": "text_encoder_",
    r"^te2_": "text_encoder_2_",
    r"^(text_encoder(?:_2)?_)text_model_": r"\1",
    r"_processor_": "_",
}
PARTS = ("unet", "transformer", "text_encoder", "text_encoder_2", "text_encoder_3")
"""The networks that a LoRA may change, of all families; `edited_parts` has those of one model."""

_METADATA = "lora_adapter_metadata"


@dataclass
class _Layer:
    """One layer in a file: ΔW = scale·up·down."""

    down: Tensor | None = None
    up: Tensor | None = None
    alpha: float | None = None


def edited_parts(model: Model) -> tuple[str, ...]:
    """Return the networks of a model that a LoRA may change, the denoiser first."""
    family = model.family
    return (family.denoiser_name, *family.encoder_names.values())


def is_lora(names: Iterable[str]) -> bool:
    """Return whether these are the names of the tensors of a LoRA, a LoHa or a LoKr."""
    return any(re.search(r"lora[_.]|\.hada_|\.lokr_", name) for name in names)


def says_scale(names: Iterable[str], metadata: Mapping[str, str]) -> bool:
    """Return whether a LoRA's file says its scale: an α of its layers, or diffusers' record of them."""
    return _METADATA in metadata or any(name.endswith(".alpha") for name in names)


def lora_deltas(
    tensors: Mapping[str, Tensor],
    metadata: Mapping[str, str],
    model: Model,
    *,
    config: Mapping[str, Any] | None = None,
    component: str = "",
) -> dict[str, Tensor]:
    """Return ΔW = (α/r)·B·A by weight name, in fp32; α is r where the file gives none.

    The messages of its errors do not name the file: the caller does.

    Args:
        tensors: The file's tensors, by name.
        metadata: The file's metadata.
        model: The model that the LoRA is for.
        config: PEFT's record of the adapter; without one, diffusers' own in the metadata.
        component: The network that the names are inside of, where they do not begin with one.

    Raises:
        EditError: It is no plain LoRA, or several.
        WrongBase: It changes a layer that the model lacks or has in another shape.
    """
    layer_names = _layer_names(model)
    record = _record(metadata) if config is None else config
    layers, deltas = _layers(tensors), {}
    component = component or _component(layers, layer_names, model)
    for key, layer in layers.items():
        name = layer_names.get(_flat(key), layer_names.get(_flat(f"{component}.{_inner(key)}")))
        if name is None:
            raise WrongBase(f"it changes {one_line(key)}, and the model {model.name} has no such layer.")
        if f"{name}.weight" in deltas:
            raise EditError(f"it has the layer {name} twice, under two names: save it once.")
        deltas[f"{name}.weight"] = _delta(name, layer, record, model)
    return deltas


def _inner(key: str) -> str:
    """Return a layer's name inside of the network that PEFT wrapped."""
    return key.removeprefix("base_model.model.")


def _component(layers: Mapping[str, _Layer], layer_names: Mapping[str, str], model: Model) -> str:
    """Return the network that names without one are of: the denoiser, or the text encoder that has all of them.

    Raises:
        EditError: Two text encoders have all of them, in these shapes.
    """
    parts = edited_parts(model)
    fitting = [part for part in parts if all(_fits(part, *each, layer_names, model) for each in layers.items())]
    if len(fitting) > 1 and fitting[0] != parts[0]:
        raise EditError(f"its layers are in {' and in '.join(fitting)}: name its folder after the one that it is for.")
    return fitting[0] if fitting else parts[0]


def _fits(part: str, key: str, layer: _Layer, layer_names: Mapping[str, str], model: Model) -> bool:
    name = layer_names.get(_flat(f"{part}.{_inner(key)}"))
    if name is None or layer.up is None or layer.down is None:
        return False
    return len(model.parameter(f"{name}.weight")) == len(layer.up)


def _layers(tensors: Mapping[str, Tensor]) -> dict[str, _Layer]:
    layers: dict[str, _Layer] = {}
    adapters: dict[str, None] = {}
    twice = ""
    for key, tensor in tensors.items():
        match = _PART.fullmatch(key)
        if match:
            adapters[match["adapter"] or ""] = None
            side = "down" if match["part"].endswith(("_A", "down")) else "up"
            layer = layers.setdefault(match["layer"], _Layer())
            if getattr(layer, side) is not None:
                twice = match["layer"]
            if not tensor.is_floating_point():
                raise EditError(f"its {one_line(key)} holds {tensor.dtype}, and no numbers of a LoRA: get it in fp16.")
            setattr(layer, side, tensor.float())
        elif key.endswith(".alpha"):
            layers.setdefault(key.removesuffix(".alpha"), _Layer()).alpha = float(tensor)
        else:
            raise EditError(f"its tensor {one_line(key)} is of no plain LoRA: merge it where it was made first.")
    if len(adapters) > 1:
        named = ", ".join(one_line(name) or "one without a name" for name in adapters)
        raise EditError(f"it holds several adapters ({named}): save one of them by itself.")
    if twice:
        raise EditError(f"it has the layer {one_line(twice)} twice: save it once.")
    return layers


def _delta(name: str, layer: _Layer, record: Mapping[str, Any], model: Model) -> Tensor:
    if layer.down is None or layer.up is None:
        raise EditError(f"one of the two factors of the layer {name} is missing: get a whole copy.")
    weight = model.parameter(f"{name}.weight")
    down, up = layer.down.flatten(1), layer.up.flatten(1)  # a 1 x 1 convolution is written in either way
    if not len(down) or up.shape[1] != len(down) or (len(up), down.shape[1]) != tuple(weight.flatten(1).shape):
        factors = f"{tuple(layer.up.shape)} and {tuple(layer.down.shape)}"
        raise WrongBase(f"its factors of {name} are {factors}, and the model's weight is {tuple(weight.shape)}.")
    component, _, path = name.partition(".")
    return (up @ down).reshape(weight.shape) * scale_of(path, len(down), layer.alpha, _of(component, record))


def _record(metadata: Mapping[str, str]) -> dict[str, Any]:
    """Return the record that diffusers keeps in a LoRA's metadata, if it does: PEFT's keys behind a network's name."""
    record: dict[str, Any] = json.loads(metadata.get(_METADATA, "{}"))
    for component in ("", *PARTS):
        check_config(_of(component, record))
    return record


def _of(component: str, record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of a record that is a network's own, and what it says of all networks."""
    own = {key.removeprefix(f"{component}."): value for key, value in record.items()}
    return {key: value for key, value in own.items() if "." not in key}


def _layer_names(model: Model) -> dict[str, str]:
    """Return the dotted names of the model's layers, by every name that a LoRA may use for them, flattened."""
    names: dict[str, str] = {}
    parts = edited_parts(model)
    originals = model.family.original_names() if parts[0] == "unet" else {}
    for component in reversed(parts):
        network = model.components.get(component)
        for path, module in network.named_modules() if network is not None else ():
            if isinstance(module, nn.Linear | nn.Conv2d):
                for alias in _aliases(path, originals if component == parts[0] else {}):
                    names[_flat(f"{component}.{alias}")] = f"{component}.{path}"
    return names


def _aliases(path: str, originals: Mapping[str, str]) -> list[str]:
    """Return a layer's path, its path in the original, and the path without the 0 of `to_out.0`, as in old files."""
    heads = [path.rsplit(".", depth)[0] for depth in range(path.count(".") + 1)]
    original = [f"{originals[head]}{path.removeprefix(head)}" for head in heads if head in originals]
    return [path, *original[:1], *([path.removesuffix(".0")] if path.endswith("to_out.0") else [])]


def _flat(name: str) -> str:
    """Return a name without the separators and prefixes in which layouts differ."""
    flat = name.replace(".", "_")
    for pattern, replacement in _PREFIXES.items():
        flat = re.sub(pattern, replacement, flat)
    return flat
