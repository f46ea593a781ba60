"""Read published LoRAs as ΔW by weight name: the layouts of diffusers, PEFT and kohya.

diffusers and PEFT read these into adapter layers of a pipeline, by private converters of names; neither gives ΔW, which
an edit is made of.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from turpentine.core.errors import EditError, WrongBase
from turpentine.core.safe_text import one_line
from turpentine.models import Model

_PART = re.compile(
    r"(?P<layer>.+?)[._](?P<part>lora_A|lora_B|lora_down|lora_up|lora\.down|lora\.up"
    r"|lora_linear_layer\.down|lora_linear_layer\.up)(?:\.default)?\.weight"
)
_PREFIXES = {
    r"^(base_model_model_|(model_)?diffusion_model_)": "unet_",
    r"^lora_": "",
    r"^te1?_": "text_encoder_",
    r"^te2_": "text_encoder_2_",
    r"^(text_encoder(?:_2)?_)text_model_": r"\1",
    r"_processor_": "_",
}
_METADATA = "lora_adapter_metadata"


@dataclass
class _Layer:
    """One layer in a file: ΔW = scale·up·down."""

    down: Tensor | None = None
    up: Tensor | None = None
    alpha: float | None = None


def is_lora(names: Iterable[str]) -> bool:
    """Return whether these are the names of the tensors of a LoRA, a LoHa or a LoKr."""
    return any(re.search(r"lora[_.]|\.hada_|\.lokr_", name) for name in names)


def lora_deltas(tensors: Mapping[str, Tensor], metadata: Mapping[str, str], model: Model) -> dict[str, Tensor]:
    """Return ΔW = (α/r)·B·A by weight name, in fp32; α is r where the file gives none.

    The messages of its errors do not name the file: the caller does.

    Args:
        tensors: The file's tensors, by name.
        metadata: The file's metadata.
        model: The model that the LoRA is for.

    Raises:
        EditError: It is no plain LoRA.
        WrongBase: It changes a layer that the model lacks or has in another shape.
    """
    layer_names = _layer_names(model)
    settings = _settings(metadata)
    deltas = {}
    for key, layer in _layers(tensors).items():
        name = layer_names.get(_flat(key), layer_names.get(f"unet_{_flat(key)}"))
        if name is None:
            raise WrongBase(f"it changes {one_line(key)}, and the model {model.name} has no such layer.")
        deltas[f"{name}.weight"] = _delta(name, layer, settings, model)
    return deltas


def _layers(tensors: Mapping[str, Tensor]) -> dict[str, _Layer]:
    layers: dict[str, _Layer] = {}
    for key, tensor in tensors.items():
        match = _PART.fullmatch(key)
        if match:
            is_down = match["part"].endswith(("_A", "down"))
            setattr(layers.setdefault(match["layer"], _Layer()), "down" if is_down else "up", tensor.float())
        elif key.endswith(".alpha"):
            layers.setdefault(key.removesuffix(".alpha"), _Layer()).alpha = float(tensor)
        else:
            raise EditError(f"its tensor {one_line(key)} is of no plain LoRA: merge it where it was made first.")
    return layers


def _delta(name: str, layer: _Layer, settings: Mapping[str, Any], model: Model) -> Tensor:
    if layer.down is None or layer.up is None:
        raise EditError(f"one of the two factors of the layer {name} is missing: get a whole copy.")
    weight = model.parameter(f"{name}.weight")
    down, up = layer.down.flatten(1), layer.up.flatten(1)  # a 1 x 1 convolution is written in either way
    if not len(down) or up.shape[1] != len(down) or (len(up), down.shape[1]) != tuple(weight.flatten(1).shape):
        factors = f"{tuple(layer.up.shape)} and {tuple(layer.down.shape)}"
        raise WrongBase(f"its factors of {name} are {factors}, and the model's weight is {tuple(weight.shape)}.")
    return (up @ down).reshape(weight.shape) * _scale(name, len(down), layer.alpha, settings)


def _settings(metadata: Mapping[str, str]) -> dict[str, Any]:
    """Return the scales that diffusers records in a LoRA's metadata, if it does."""
    settings: dict[str, Any] = json.loads(metadata.get(_METADATA, "{}"))
    patterns = [pattern for key, value in settings.items() if key.endswith("alpha_pattern") for pattern in value or ()]
    if not all(re.fullmatch(r"\^?[\w.]+", pattern) for pattern in patterns):
        raise EditError("its record gives scales by patterns and not by names: merge it where it was made first.")
    return settings


def _scale(name: str, rank: int, alpha: float | None, settings: Mapping[str, Any]) -> float:
    """Return α/r, or α/√r for rank-stabilised LoRAs; α is the file's own, else that of diffusers' record, else r."""
    component, _, path = name.replace("text_model.", "").partition(".")
    record = {key.removeprefix(f"{component}."): value for key, value in settings.items()}
    alpha = _recorded_alpha(path, record) if alpha is None else alpha
    return float(rank if alpha is None else alpha) / (math.sqrt(rank) if record.get("use_rslora") else rank)


def _recorded_alpha(path: str, record: Mapping[str, Any]) -> float | None:
    """Return the α of a layer, else that of all layers; PEFT matches a layer by the end of its path."""
    for layer, alpha in (record.get("alpha_pattern") or {}).items():
        if f".{path}".endswith(re.sub(r"^\^?(text_model\.)?", ".", layer)):
            return float(alpha)
    default: float | None = record.get("lora_alpha")
    return default


def _layer_names(model: Model) -> dict[str, str]:
    """Return the dotted names of the model's layers, by every name that a LoRA may use for them, flattened."""
    names: dict[str, str] = {}
    originals = model.family.original_names()
    for component in ("text_encoder", "text_encoder_2", "unet"):
        network = model.components.get(component)
        for path, module in network.named_modules() if network is not None else ():
            if isinstance(module, nn.Linear | nn.Conv2d):
                for alias in _aliases(path, originals if component == "unet" else {}):
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
