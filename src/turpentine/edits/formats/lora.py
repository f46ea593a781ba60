"""Edits as a LoRA: each layer's change as a product of two thin matrices, and how much of it that leaves out."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from turpentine.core.errors import BadArgument, EditError
from turpentine.core.progress import Progress
from turpentine.core.tensors import save_tensors
from turpentine.edits.edit import Edit
from turpentine.edits.formats.pipeline import refuse_edited, refuse_taken
from turpentine.models import Model

RECORD = "turpentine.lora"

# What diffusers looks for in a text encoder.
_TEXT_LAYERS = (".q_proj", ".k_proj", ".v_proj", ".out_proj", ".fc1", ".fc2")
# Smaller singular values, in units of a layer's largest, are of rounding.
_NOTHING = 1e-5

Factors = tuple[Float[Tensor, "..."], Float[Tensor, "..."]]


@dataclass(frozen=True, eq=False)
class LoRA:
    """ΔW ≈ B·A for each layer, all of one rank, since readers of such files take one scale for all of them.

    factors: A and B by the layer's dotted name, fp32; of a convolution A has its kernel and B is 1 x 1.
    residuals: ‖ΔW − B·A‖ / ‖ΔW‖ by the weight's name, Frobenius; 1 for what no LoRA holds: biases, norms, embeddings.
    residual: the same over the whole change, 0 to 1.
    edits: ids of what it stands for.
    """

    factors: Mapping[str, Factors]
    residuals: Mapping[str, float]
    residual: float
    edits: tuple[str, ...] = ()

    @property
    def rank(self) -> int:
        """The rank of every layer."""
        return len(next(iter(self.factors.values()))[0])

    @property
    def left_out(self) -> tuple[str, ...]:
        """The weights that the edits change and that are in no layer of it."""
        return tuple(name for name in self.residuals if name.removesuffix(".weight") not in self.factors)

    @classmethod
    def of(cls, model: Model, edits: Sequence[Edit], *, rank: int = 16, progress: Progress | None = None) -> LoRA:
        """The best of this rank in each layer (Eckart and Young 1936) for edits put on a model in this order.

        model: without edits on it. rank: 1 or more; less is used where every layer can do with less.
        progress: called with weights done and in all.
        Raises BadArgument for no edit and for a rank below 1, EditError if no layer of the change can be expressed or
        an edit is on the model, WrongBase and NotFinite as `Edit.apply` does.
        """
        if not edits or rank < 1:
            raise BadArgument(f"A LoRA of {len(edits)} edits and rank {rank} holds nothing: give 1 or more of both.")
        changes = _changes(model, edits)
        found, lost = _factors(model, changes, rank, progress)
        if not found:
            what = f"and the edits change none, but {next(iter(changes))}: write a folder or a single file"
            raise EditError(f"A LoRA holds linear and convolution layers only, {what}.")
        whole = math.sqrt(sum(_norm(change) ** 2 for change in changes.values()))
        residuals = {name: loss / (_norm(changes[name]) or 1) for name, loss in lost.items()}
        residual = math.sqrt(sum(loss**2 for loss in lost.values())) / (whole or 1)
        return cls(_of_one_rank(found), residuals, residual, tuple(edit.id for edit in edits))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write one safetensors file in the layout of diffusers and PEFT, whole or not at all.

        diffusers reads it by `load_lora_weights`. Raises EditError if the path is taken, OSError as the file system
        does.
        """
        refuse_taken(path)
        tensors: dict[str, Tensor] = {}
        for name, (a, b) in self.factors.items():
            tensors |= {f"{_in_file(name)}.lora_A.weight": a, f"{_in_file(name)}.lora_B.weight": b}
        record = {"edits": self.edits, "residual": self.residual, "left_out": self.left_out}
        save_tensors(path, tensors, {"format": "pt", RECORD: json.dumps(record)})


def _changes(model: Model, edits: Sequence[Edit]) -> dict[str, Tensor]:
    """What the edits add to each weight in all: an edit that zeroes a position sees what those before it left there."""
    refuse_edited(model)
    with ExitStack() as on:  # refuses, as ever, what does not fit
        for edit in edits:
            on.enter_context(edit.on(model))
    changes: dict[str, Tensor] = {}
    for edit in edits:
        for name in edit.names:
            base = model.parameter(name).detach().float().cpu()
            before = changes.get(name, torch.zeros_like(base))
            changes[name] = before + edit.strength * edit.change(name, base + before)
    return changes


def _factors(
    model: Model, changes: Mapping[str, Tensor], rank: int, progress: Progress | None
) -> tuple[dict[str, Factors], dict[str, float]]:
    """The factors of each layer that changes, and ‖ΔW − B·A‖ of every weight."""
    found: dict[str, Factors] = {}
    lost: dict[str, float] = {}
    for done, (name, change) in enumerate(changes.items(), start=1):
        lost[name] = _norm(change)
        if _is_expressible(model, name):
            a, b = _best(change.flatten(1), rank)
            lost[name] = _norm(change.flatten(1) - b @ a)
            found[name.removesuffix(".weight")] = _shaped(a, b, change)
        if progress:
            progress(done, len(changes))
    return found, lost


def _is_expressible(model: Model, name: str) -> bool:
    path, _, kind = name.rpartition(".")
    layer = model.module(path)
    is_layer = isinstance(layer, nn.Linear) or (isinstance(layer, nn.Conv2d) and layer.groups == 1)
    is_read = path.startswith("unet.") or (path.startswith("text_encoder") and path.endswith(_TEXT_LAYERS))
    return kind == "weight" and is_layer and is_read


def _best(change: Float[Tensor, "out into"], rank: int) -> tuple[Float[Tensor, "rank into"], Float[Tensor, "out rank"]]:
    """A and B of the best approximation: B the first left singular vectors U, A = Uᵀ·ΔW, the scale shared by both.

    U are eigenvectors of ΔW·ΔWᵀ, in fp64: for long rows, as convolutions have, much faster than the rows' own SVD.
    """
    if change.shape[0] > change.shape[1]:
        b, a = _best(change.T, rank)
        return a.T.contiguous(), b.T.contiguous()
    delta = change.double()
    squares, vectors = torch.linalg.eigh(delta @ delta.T)
    sigma = squares.flip(0).clamp(min=0).sqrt()
    kept = min(rank, int((sigma > _NOTHING * sigma[0]).sum()))
    u, half = vectors.flip(1)[:, :kept], sigma[:kept].sqrt()
    return ((u.T @ delta) / half[:, None]).float(), (u * half).float()


def _shaped(a: Float[Tensor, "rank into"], b: Float[Tensor, "out rank"], change: Tensor) -> Factors:
    """Matrices as they are; for a convolution, as two: its kernel to `rank` channels, then 1 x 1."""
    if change.dim() == 2:
        return a, b
    return a.reshape(len(a), *change.shape[1:]), b[:, :, None, None]


def _of_one_rank(factors: Mapping[str, Factors]) -> dict[str, Factors]:
    """Zeros where a layer needs fewer."""
    rank = max([1, *(len(a) for a, _ in factors.values())])
    return {name: (_padded(a, 0, rank), _padded(b, 1, rank)) for name, (a, b) in factors.items()}


def _padded(factor: Tensor, dim: int, rank: int) -> Tensor:
    missing = list(factor.shape)
    missing[dim] = rank - factor.shape[dim]
    return torch.cat([factor, factor.new_zeros(missing)], dim)


def _in_file(name: str) -> str:
    """The layer's name with the level `text_model`, which transformers 5 took out of its text encoder; all know it."""
    component, _, path = name.partition(".")
    inner = "text_model." if component.startswith("text_encoder") and not path.startswith("text_model.") else ""
    return f"{component}.{inner}{path}"


def _norm(tensor: Tensor) -> float:
    return float(tensor.double().norm())
