"""PEFT's record of an adapter: which scale its layers have, and whether they are a plain LoRA at all."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from turpentine.core.errors import EditError
from turpentine.core.safe_text import one_line

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
"""The names of an adapter's files in PEFT's folders."""

# Keys that say how an adapter was made or where, or that its scale is computed from here.
_HONOURED = {
    *(
        "task_type",
        "peft_type",
        "auto_mapping",
        "peft_version",
        "base_model_name_or_path",
        "revision",
        "inference_mode",
    ),
    *("r", "lora_alpha", "rank_pattern", "alpha_pattern", "use_rslora", "bias", "init_lora_weights"),
    *("target_modules", "exclude_modules", "layers_to_transform", "layers_pattern", "lora_dropout", "fan_in_fan_out"),
    *("megatron_core", "loftq_config", "eva_config", "runtime_config", "qalora_group_size", "ensure_weight_tying"),
}
# Beginnings that leave the base's weights as they are; PiSSA, OLoRA, LoftQ and CorDA take a part out of them.
_PLAIN_BEGINNINGS = (True, False, None, "gaussian", "eva", "orthogonal")


def read_config(folder: Path) -> dict[str, Any]:
    """Return the record of the adapter in a folder.

    Raises:
        EditError: There is none, so that nothing says the adapter's scale, or it is of no plain LoRA.
    """
    path = folder / CONFIG
    if not path.is_file():
        raise EditError(f"{one_line(str(folder))} holds no {CONFIG}, which says the adapter's scale: get it, too.")
    try:
        config = dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError, OSError) as error:
        raise EditError(f"{one_line(str(path))} cannot be read: {one_line(str(error))}.") from error
    if config.get("peft_type", "LORA") != "LORA":
        raise EditError(f"{one_line(str(path))} is of PEFT's {one_line(str(config['peft_type']))}, and no LoRA.")
    check_config(config)
    return config


def check_config(config: Mapping[str, Any]) -> None:
    """Check that a record is of a plain LoRA, with scales by layers' names.

    Raises:
        EditError: A setting makes something else of it; the message names the setting.
    """
    odd = {key: value for key, value in config.items() if key not in _HONOURED and value}
    if config.get("bias", "none") != "none":
        odd["bias"] = config["bias"]
    beginning = config.get("init_lora_weights", True)
    if beginning not in _PLAIN_BEGINNINGS:
        odd["init_lora_weights"] = beginning
    if odd:
        settings = ", ".join(f"{one_line(str(key))}={one_line(repr(value))[:60]}" for key, value in odd.items())
        raise EditError(f"its record says {settings}, so that it is no plain LoRA: merge it where it was made first.")
    numbers = [config.get("r"), config.get("lora_alpha")]
    for key in ("alpha_pattern", "rank_pattern"):
        numbers += (config.get(key) or {}).values()
    rooted = config.get("use_rslora")
    if not all(each is None or type(each) in (int, float) for each in numbers) or type(rooted) not in (
        bool,
        type(None),
    ):
        raise EditError(
            "its record gives a rank, a scale or use_rslora that is no number and no yes or no: get it anew."
        )
    patterns = [*(config.get("alpha_pattern") or ()), *(config.get("rank_pattern") or ())]
    if not all(re.fullmatch(r"\^?[\w.]+\$?", pattern) for pattern in patterns):
        raise EditError("its record gives scales by patterns and not by names: merge it where it was made first.")


def scale_of(path: str, rank: int, alpha: float | None, config: Mapping[str, Any]) -> float:
    """Return the scale of a layer's B·A: α/r, or α/√r for rank-stabilised LoRAs (Kalajdzievski 2023, arXiv 2312.03732).

    Args:
        path: The layer's dotted name in its network.
        rank: Of its factors.
        alpha: The layer's own α, where the file has one; it comes before the record's.
        config: The record, empty without one: α is the rank then.

    Raises:
        EditError: The record says another rank.
    """
    own = _by_name(path, config.get("rank_pattern"), config.get("r"))
    if own is not None and own != rank:
        raise EditError(f"its record says rank {own:g} for {path}, whose factors have {rank}: get both from one save.")
    alpha = _by_name(path, config.get("alpha_pattern"), config.get("lora_alpha")) if alpha is None else alpha
    return float(rank if alpha is None else alpha) / (math.sqrt(rank) if config.get("use_rslora") else rank)


def _by_name(path: str, patterns: Mapping[str, Any] | None, default: float | None) -> float | None:
    """Return a layer's α or rank, else that of all; PEFT goes by the end of its path, and takes the first."""
    for pattern, value in (patterns or {}).items():
        if re.match(rf"(.*\.)?({_bare(pattern)})$", _bare(path)):
            return float(value)
    return default


def _bare(path: str) -> str:
    """Return a path without the level `text_model`, which transformers 5 took out of its text encoder."""
    return path.replace("text_model.", "")
