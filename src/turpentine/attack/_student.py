"""The weights that relearning trains, what they are trained on, and their optimizer."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image
from torch import Tensor

from turpentine.attack._learning import adam_state, example_of, restore_adam
from turpentine.core.errors import BadArgument
from turpentine.core.imaging import fitted, read_picture
from turpentine.core.safe_text import one_line
from turpentine.edits import Edit, Provenance
from turpentine.edits.edit import stack_of
from turpentine.edits.low_rank import LowRank
from turpentine.models import Conditioning, Model, check_in_denoiser, check_whole, selected
from turpentine.models.sites import READS_TEXT
from turpentine.models.training_memory import Training, check_training_fits

if TYPE_CHECKING:
    from turpentine.attack.relearning import Relearning
    from turpentine.attack.search import Search

PICTURES = (".png", ".jpg", ".jpeg", ".webp")

# fp16 has no numbers under 6e-8, where the gradients of a mean over a picture lie; a power of two costs no precision.
_LOSS_SCALE = {torch.float16: 2.0**12}


class Student:
    """The weights in training, and what does not change from update to update."""

    def __init__(self, attack: Relearning, search: Search, model: Model) -> None:
        self._attack, self._search, self._model = attack, search, model
        self.done, self.loss = 0, 0.0
        pictures, self._captions = _examples(attack, search, model)
        self._x0 = model.encode_image(pictures)
        with search.meter.repeating(True):  # a row that is tried for its memory is nothing that the search spends
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
        self._adam.zero_grad()  # what nobody reads any more is memory
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


def _weights_of(attack: Relearning, seed: int, model: Model) -> Full | LowRank:
    own = model.sites.only(kind=READS_TEXT, level="layer")
    chosen = own if attack.sites is None else selected(model.sites, attack.sites)
    check_in_denoiser(chosen)
    check_whole(chosen)
    weights = {name: model.parameter(name).detach() for name in chosen.parameters()}
    if attack.weights == "lora":
        weights = {name: weight for name, weight in weights.items() if weight.ndim > 1}
        if not weights:
            raise BadArgument(f"The sites {attack.sites!r} have no matrix that a LoRA could change: name others.")
    _check_fits(attack, model, weights)
    start = {name: weight.clone() for name, weight in weights.items()}
    return Full(start) if attack.weights == "full" else LowRank(start, attack.rank, seed)


def _check_fits(attack: Relearning, model: Model, weights: Mapping[str, Tensor]) -> None:
    """Refuse a training that the free memory is too small for, before anything of it is there."""
    rank = None if attack.weights == "full" else attack.rank
    # Gradients are there with and without the loss's scale; on a GPU, Adam takes as much for all tensors at once.
    gradients = 3 if model.device.type == "cuda" else 2
    training = Training(weights, attack.batch, 0, rank=rank, gradients=gradients, keeps_start=True)
    ways: dict[str, Mapping[str, Any]] = {"--batch 1": {"rows": 1}} if attack.batch > 1 else {}
    if rank is None and any(weight.ndim > 1 for weight in weights.values()):
        ways["--weights lora"] = {"rank": attack.rank}
    check_training_fits(model, training, ways)


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
