"""Export edits as a LoRA: each layer's ΔW as a product of two thin matrices, with the residual."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from turpentine.core.errors import BadArgument, EditError
from turpentine.core.formatting import counted
from turpentine.core.progress import Progress
from turpentine.core.tensors import save_tensors
from turpentine.edits.edit import Edit
from turpentine.edits.formats.unedited import refuse_edited
from turpentine.models import Model
from turpentine.models.saving import refuse_existing

RECORD = "turpentine.lora"

# The layers of a text encoder that diffusers reads.
_TEXT_LAYERS = (".q_proj", ".k_proj", ".v_proj", ".out_proj", ".fc1", ".fc2")
# Smaller singular values, in units of a layer's largest, are rounding errors.
_NEGLIGIBLE = 1e-5

Layout = Literal["diffusers", "kohya"]
_KOHYA = {"unet": "lora_unet", "text_encoder": "lora_te", "text_encoder_2": "lora_te2"}

Factors = tuple[Float[Tensor, "..."], Float[Tensor, "..."]]


@dataclass(frozen=True, eq=False)
class LoRA:
    """ΔW ≈ B·A for each layer, all of one rank, since readers of such files take one scale for all layers.

    Args:
        factors: A and B by the layer's dotted name, fp32. Of a convolution, A has its kernel and B is 1 x 1.
        residuals: ‖ΔW − B·A‖ / ‖ΔW‖ (Frobenius) by the weight's name; 1 for what no LoRA can hold: biases, norms,
            embeddings.
        residual: The same over all weights together, 0 to 1.
        edits: Ids of the edits that it stands for.

    Example:
        >>> edit = UCE()(model, Concept("church"))
        >>> lora = LoRA.from_edits(model, [edit], rank=4)
        >>> lora.rank, lora.residual < 1e-3
        (1, True)
    """

    factors: Mapping[str, Factors]
    residuals: Mapping[str, float]
    residual: float
    edits: tuple[str, ...] = ()

    @property
    def rank(self) -> int:
        """Rank of every layer."""
        return len(next(iter(self.factors.values()))[0])

    @property
    def omitted(self) -> tuple[str, ...]:
        """Names of the weights that the edits change and that the LoRA does not hold."""
        return tuple(name for name in self.residuals if name.removesuffix(".weight") not in self.factors)

    @classmethod
    def from_edits(
        cls, model: Model, edits: Sequence[Edit], *, rank: int = 16, progress: Progress | None = None
    ) -> LoRA:
        """Approximate edits put on in this order, each layer as well as its rank allows (Eckart and Young 1936).

        Args:
            model: The model that the edits are for, without edits on it.
            edits: One or more.
            rank: Largest rank, 1 or more; a smaller one is used if it does for every layer.
            progress: Called with weights done and in all.

        Raises:
            BadArgument: There is no edit, or the rank is below 1.
            EditError: No layer of the change can be expressed, or an edit is on the model.
            WrongBase: An edit was made for another model.
            NotFinite: A weight would overflow the model's number format.
        """
        if not edits or rank < 1:
            raise BadArgument(
                f"A LoRA of {counted(len(edits), 'edit')} and rank {rank} holds nothing: give 1 or more of both."
            )
        deltas = _total_deltas(model, edits)
        factors, errors = _factors(model, deltas, rank, progress)
        if not factors:
            what = f"and the edits change none, but {next(iter(deltas))}: write a folder or a single file"
            raise EditError(f"A LoRA holds linear and convolution layers only, {what}.")
        norm = math.sqrt(sum(_norm(delta) ** 2 for delta in deltas.values()))
        residuals = {name: error / (_norm(deltas[name]) or 1) for name, error in errors.items()}
        residual = math.sqrt(sum(error**2 for error in errors.values())) / (norm or 1)
        return cls(_of_one_rank(factors), residuals, residual, tuple(edit.id for edit in edits))

    def save(self, path: str | os.PathLike[str], layout: Layout = "diffusers") -> None:
        """Write one safetensors file, whole or not at all.

        Args:
            path: Where to; it must not exist.
            layout: "diffusers", which PEFT has too and `load_lora_weights` reads; or "kohya", which ComfyUI, A1111 and
                diffusers read.

        Raises:
            EditError: The path exists, or kohya's layout is asked for of a denoiser that is a transformer.
            OSError: The disk is full, or another error of the file system.
        """
        refuse_existing(path)
        two_encoders = any(name.startswith("text_encoder_2.") for name in self.factors)
        tensors: dict[str, Tensor] = {}
        for name, (a, b) in self.factors.items():
            if layout == "kohya":
                key = _kohya_name(name, two_encoders)
                tensors |= {f"{key}.lora_down.weight": a, f"{key}.lora_up.weight": b}
                tensors[f"{key}.alpha"] = torch.tensor(float(self.rank))
            else:
                tensors |= {f"{_name_in_file(name)}.lora_A.weight": a, f"{_name_in_file(name)}.lora_B.weight": b}
        record = {"edits": self.edits, "residual": self.residual, "omitted": self.omitted}
        save_tensors(path, tensors, {"format": "pt", RECORD: json.dumps(record)})


def _total_deltas(model: Model, edits: Sequence[Edit]) -> dict[str, Tensor]:
    """Return the sum of the edits' ΔW of each weight; an edit that zeroes a position sees the sum before it."""
    refuse_edited(model)
    with ExitStack() as active:  # refuses, as ever, what does not fit
        for edit in edits:
            active.enter_context(edit.on(model))
    deltas: dict[str, Tensor] = {}
    for edit in edits:
        for name in edit.names:
            base = model.parameter(name).detach().float().cpu()
            before = deltas.get(name, torch.zeros_like(base))
            deltas[name] = before + edit.strength * edit.delta(name, base + before)
    return deltas


def _factors(
    model: Model, deltas: Mapping[str, Tensor], rank: int, progress: Progress | None
) -> tuple[dict[str, Factors], dict[str, float]]:
    """Return the factors of each layer that changes, and ‖ΔW − B·A‖ of every weight."""
    factors: dict[str, Factors] = {}
    errors: dict[str, float] = {}
    for done, (name, delta) in enumerate(deltas.items(), start=1):
        errors[name] = _norm(delta)
        if _is_expressible(model, name):
            a, b = _best(delta.flatten(1), rank)
            errors[name] = _norm(delta.flatten(1) - b @ a)
            factors[name.removesuffix(".weight")] = _shaped(a, b, delta)
        if progress:
            progress(done, len(deltas))
    return factors, errors


def _is_expressible(model: Model, name: str) -> bool:
    path, _, kind = name.rpartition(".")
    layer = model.module(path)
    is_layer = isinstance(layer, nn.Linear) or (isinstance(layer, nn.Conv2d) and layer.groups == 1)
    is_read = model.family.inside_denoiser(name) or (path.startswith("text_encoder") and path.endswith(_TEXT_LAYERS))
    return kind == "weight" and is_layer and is_read


def _best(delta: Float[Tensor, "out into"], rank: int) -> tuple[Float[Tensor, "rank into"], Float[Tensor, "out rank"]]:
    """Return A and B of the best approximation: B the first left singular vectors U, A = Uᵀ·ΔW, the scale shared.

    U are eigenvectors of ΔW·ΔWᵀ, in fp64: for long rows, as convolutions have, much faster than the rows' own SVD.
    """
    if delta.shape[0] > delta.shape[1]:
        b, a = _best(delta.T, rank)
        return a.T.contiguous(), b.T.contiguous()
    delta = delta.double()
    squares, vectors = torch.linalg.eigh(delta @ delta.T)
    sigma = squares.flip(0).clamp(min=0).sqrt()
    count = min(rank, int((sigma > _NEGLIGIBLE * sigma[0]).sum()))
    u, half = vectors.flip(1)[:, :count], sigma[:count].sqrt()
    return ((u.T @ delta) / half[:, None]).float(), (u * half).float()


def _shaped(a: Float[Tensor, "rank into"], b: Float[Tensor, "out rank"], delta: Tensor) -> Factors:
    """Return the matrices of a linear layer as they are; of a convolution, to `rank` channels and then 1 x 1."""
    if delta.dim() == 2:
        return a, b
    return a.reshape(len(a), *delta.shape[1:]), b[:, :, None, None]


def _of_one_rank(factors: Mapping[str, Factors]) -> dict[str, Factors]:
    """Return all factors at the largest rank among them, padded with zeros."""
    rank = max([1, *(len(a) for a, _ in factors.values())])
    return {name: (_padded(a, 0, rank), _padded(b, 1, rank)) for name, (a, b) in factors.items()}


def _padded(factor: Tensor, dim: int, rank: int) -> Tensor:
    missing = list(factor.shape)
    missing[dim] = rank - factor.shape[dim]
    return torch.cat([factor, factor.new_zeros(missing)], dim)


def _name_in_file(name: str) -> str:
    """Return the layer's name with the level `text_model`, which transformers 5 dropped and all readers accept."""
    component, _, path = name.partition(".")
    inner = "text_model." if component.startswith("text_encoder") and not path.startswith("text_model.") else ""
    return f"{component}.{inner}{path}"


def _kohya_name(name: str, two_encoders: bool) -> str:
    """Return kohya's name of a layer, without separators; of a model with two encoders the first is `lora_te1`."""
    component, _, path = _name_in_file(name).partition(".")
    if component not in _KOHYA:
        raise EditError(
            f"kohya's layout has no name here for {name}: programs that read it call transformers' layers by the "
            "authors' own names; write diffusers' layout instead."
        )
    prefix = "lora_te1" if component == "text_encoder" and two_encoders else _KOHYA[component]
    return f"{prefix}_{path.replace('.', '_')}"


def _norm(tensor: Tensor) -> float:
    return float(tensor.double().norm())
