"""Relearning: the edited weights are trained further, on pictures of the concept or of other things."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import polars as pl
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from turpentine.attack._learning import adam_state, example_of, restore_adam, stage_end
from turpentine.attack._stages import SearchStage
from turpentine.attack.attacked import Attacked
from turpentine.attack.budget import Spent
from turpentine.attack.harness import Attack, Need, Search, Trial
from turpentine.core.errors import BadArgument
from turpentine.core.imaging import fitted, read_picture
from turpentine.core.safe_text import one_line
from turpentine.core.settings import Count, Positive, Share
from turpentine.edits import Edit, Provenance
from turpentine.edits.edit import stack_of
from turpentine.models import Conditioning, Model, check_in_denoiser, selected

PICTURES = (".png", ".jpg", ".jpeg", ".webp")

# fp16 has no numbers under 6e-8, where the gradients of a mean over a picture lie; a power of two costs no precision.
_LOSS_SCALE = {torch.float16: 2.0**12}


@dataclass(frozen=True)
class Relearning(Attack):
    """Train the edited denoiser further, and look how soon it draws the concept again.

    ‖n − ε_θ(x_t, c)‖² of pictures with their captions, by Adam, with x_t = α(t)·x₀ + σ(t)·n. Harmful training is on the
    references, with the concept's prompts for captions. Benign training is on other pictures, as an owner might train
    a model that was given away: how much of an erasure does that undo? (Li et al. 2025, "ResAlign", arXiv 2507.16302;
    relearning by LoRA of rank 4 at 1e-4 is that of MemoRa, arXiv 2510.03263.) A guidance that is on the model has no
    part in the training.

    The artefact is an `Edit`, which goes on top of those that are attacked. Any model learns from pictures what it
    never knew; what counts is how many updates that takes beside the same for a model that never saw the concept: the
    arm "never seen", or a model trained without it. `updates to 50%` is the first point of the curve with that success.

    Args:
        updates: Of the weights.
        batch: Pictures in an update.
        lr: Adam's rate.
        weights: "lora", ΔW = B·A with B = 0 at first, of the selected matrices and convolutions; or "full", all weights
            and biases there.
        rank: Of a LoRA.
        sites: Kinds, labels or names, with commas between; or a tuple of names. "all" is every layer of the denoiser.
        benign: A folder of pictures of other things, each with its caption in a text file of the same name beside it,
            NAME.txt; a picture without one is trained on with the empty text. By default training is harmful.
        success: Share of pictures with the concept at which it counts as relearned.
        stages: Of the curve, beside its beginning; each can be gone on from.

    Example:
        >>> Relearning(updates=10, batch=2).cost(Trial()).backward
        20
    """

    name: ClassVar[str] = "relearning"
    needs: ClassVar[frozenset[Need]] = frozenset({"weights", "references"})

    updates: Count = 100
    batch: Count = 4
    lr: Positive = 1e-4
    weights: Literal["lora", "full"] = "lora"
    rank: Count = 4
    sites: str | tuple[str, ...] = "cross-attention"
    benign: Path | None = None
    success: Share = 0.5
    stages: Count = 5

    def cost(self, trial: Trial) -> Spent:
        """Return what all updates spend."""
        rows = self.updates * self.batch
        return Spent(forward=rows, backward=rows, text=self.stages)

    def search(self, search: Search, state: dict[str, Any] | None) -> Iterator[SearchStage]:
        """Train; each stage has ΔW as it is then, the first before any update."""
        with search.victim.on() as model:
            student = _Student(self, search, model)
            student.restore(state)
        if state is None:
            yield SearchStage(student.edit(), student.state())
        rows = {"forward": self.batch, "backward": self.batch}
        while student.done < self.updates and search.meter.affords(**rows):
            with search.victim.on():
                texts = student.read_captions()
                until = stage_end(self.updates, self.stages, student.done)
                while student.done < until and search.meter.affords(**rows):
                    student.update(texts)
                    search.advance(student.done, self.updates)
            yield SearchStage(student.edit(), student.state(), {"loss": student.loss})

    def concluded(self, search: Search, outcome: Attacked) -> Mapping[str, Any]:
        """Return after how many updates the concept was there again, None if it never was."""
        return {f"updates to {self.success:.0%}": updates_to(outcome.table, self.success, self.batch)}


def updates_to(curve: pl.DataFrame, success: float, batch: int) -> int | None:
    """Return after how many updates a curve first has as much success, None if it never has."""
    rows = curve.select("backward", "success").rows()
    return next((backward // batch for backward, share in rows if share >= success), None)


class _Student:
    """The weights in training, and what does not change from update to update."""

    def __init__(self, attack: Relearning, search: Search, model: Model) -> None:
        self._attack, self._search, self._model = attack, search, model
        self.done, self.loss = 0, 0.0
        pictures, self._captions = _examples(attack, search, model)
        self._x0 = model.encode_image(pictures)
        self._weights = _weights_of(attack, search.seed, model)
        self._adam = torch.optim.Adam(self._weights.tensors.values(), lr=attack.lr)
        self._provenance = Provenance(
            method=attack.name,
            concepts=(search.concept,),
            seed=search.seed,
            base=model.fingerprint,
            model=model.name,
            onto=stack_of(model).ids,
        )

    def read_captions(self) -> Conditioning:
        """Return the conditioning of each picture's caption; called in each stage, so that resumed runs count alike."""
        unique = list(dict.fromkeys(self._captions))
        return self._model.encode(unique)[[unique.index(caption) for caption in self._captions]]

    def update(self, texts: Conditioning) -> None:
        """Take one step of Adam."""
        model, scale = self._model, _LOSS_SCALE.get(self._model.dtype, 1.0)
        rows, noise, t = example_of(
            self._x0, self._attack.batch, model.schedule.training_steps, self._search.seed, self.done
        )
        tensors = list(self._weights.tensors.values())
        with torch.enable_grad():
            x = model.schedule.add_noise(self._x0[rows], noise, t)
            eps = model.eps(x, t, texts[rows.tolist()], parameters=self._weights.current())
            loss = (eps - noise).pow(2).mean()
            gradients = torch.autograd.grad(loss * scale, tensors, materialize_grads=True)
        for tensor, gradient in zip(tensors, gradients, strict=True):
            tensor.grad = gradient / scale
        self._adam.step()
        self.done, self.loss = self.done + 1, loss.item()

    def edit(self) -> Edit:
        """Return what training has changed until now."""
        return Edit(self._weights.deltas(), self._provenance)

    def state(self) -> dict[str, Tensor]:
        """Return what the next update hangs on."""
        return {"done": torch.tensor(self.done), **adam_state(self._adam, self._weights.tensors)}

    def restore(self, state: Mapping[str, Tensor] | None) -> None:
        """Go on from a state."""
        if state is not None:
            self.done = int(state["done"])
            restore_adam(self._adam, self._weights.tensors, state)


class Full:
    """Weights that are trained themselves, in fp32.

    Args:
        weights: As the edits leave them, by dotted name.

    Attributes:
        tensors: What is trained, by name.
    """

    def __init__(self, weights: Mapping[str, Tensor]) -> None:
        self._start = weights
        self.tensors = {name: weight.float().clone().requires_grad_() for name, weight in weights.items()}

    def current(self) -> dict[str, Tensor]:
        """Return the weights as they are now, in the model's number format; gradients go to what is trained."""
        return {name: tensor.to(self._start[name].dtype) for name, tensor in self.tensors.items()}

    @torch.no_grad()
    def deltas(self) -> dict[str, Tensor]:
        """Return ΔW by name."""
        return {name: tensor - self._start[name].float() for name, tensor in self.tensors.items()}


class LowRank:
    """Weights that stay, with ΔW = B·A on each as a matrix of rows by all else; A is uniform, B is 0 at first.

    Hu et al. 2021 (arXiv 2106.09685). Of a convolution, A has its kernel and B is 1 x 1.

    Args:
        weights: As the edits leave them, by dotted name, of two dimensions or more.
        rank: Of ΔW, at most.
        seed: Of A.

    Attributes:
        tensors: What is trained, by name: `NAME.A` and `NAME.B`.
    """

    def __init__(self, weights: Mapping[str, Tensor], rank: int, seed: int) -> None:
        self._start = weights
        self.tensors: dict[str, Tensor] = {}
        dice = torch.Generator().manual_seed(seed)
        for name, weight in weights.items():
            columns = weight[0].numel()
            a = (torch.rand(rank, columns, generator=dice) * 2 - 1) / columns**0.5
            self.tensors[f"{name}.A"] = a.to(weight.device).requires_grad_()
            self.tensors[f"{name}.B"] = torch.zeros(len(weight), rank, device=weight.device).requires_grad_()

    def current(self) -> dict[str, Tensor]:
        """Return the weights as they are now, in the model's number format; gradients go to what is trained."""
        return {name: (start.float() + self._delta(name)).to(start.dtype) for name, start in self._start.items()}

    @torch.no_grad()
    def deltas(self) -> dict[str, Tensor]:
        """Return ΔW by name."""
        return {name: self._delta(name) for name in self._start}

    def _delta(self, name: str) -> Float[Tensor, "*shape"]:
        product: Tensor = self.tensors[f"{name}.B"] @ self.tensors[f"{name}.A"]
        return product.reshape(self._start[name].shape)


def _weights_of(attack: Relearning, seed: int, model: Model) -> Full | LowRank:
    chosen = selected(model.sites, attack.sites)
    check_in_denoiser(chosen)
    weights = {name: model.parameter(name).detach().clone() for name in chosen.parameters()}
    if attack.weights == "full":
        return Full(weights)
    matrices = {name: weight for name, weight in weights.items() if weight.ndim > 1}
    if not matrices:
        raise BadArgument(f"The sites {attack.sites!r} have no matrix that a LoRA could change: name others.")
    return LowRank(matrices, attack.rank, seed)


def _examples(attack: Relearning, search: Search, model: Model) -> tuple[list[Image.Image], list[str]]:
    """Return what is trained on: pictures and their captions."""
    if attack.benign is None:
        prompts = search.prompts
        return list(search.references), [prompts[index % len(prompts)] for index in range(len(search.references))]
    pictures, captions = captioned(attack.benign)
    return fitted(pictures, model.size), captions


def captioned(folder: Path) -> tuple[list[Image.Image], list[str]]:
    """Return the pictures of a folder, and the caption of each: that of NAME.txt beside NAME.png, else the empty text.

    Raises:
        BadArgument: It is no folder, has no picture, or something in it cannot be read.
    """
    paths = [path for path in sorted(folder.glob("*")) if path.suffix.lower() in PICTURES]
    if not paths:
        raise BadArgument(f"{one_line(str(folder))} is no folder with pictures: give one of PNG, JPEG or WebP files.")
    return [read_picture(path) for path in paths], [_caption(path.with_suffix(".txt")) for path in paths]


def _caption(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip() if path.is_file() else ""
    except (OSError, UnicodeDecodeError) as error:
        raise BadArgument(f"{one_line(str(path))} cannot be read as a caption: {error}.") from error
