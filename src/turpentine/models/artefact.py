"""What brings a concept back, as a value: a prompt of given tokens, a learned word, or initial latents."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from turpentine.core.errors import BadArgument, EditError
from turpentine.core.hashing import digest, digest_tensor
from turpentine.core.safe_text import check_text, one_line
from turpentine.core.sealed import read_sealed, write_sealed
from turpentine.core.signals import Reverted
from turpentine.models.churn import NO_CHURN, Churn
from turpentine.models.conditioning import Conditioning
from turpentine.models.finite import is_finite
from turpentine.models.frame import padding_before
from turpentine.models.identity import tokenizer_digest
from turpentine.models.interface import Size
from turpentine.models.text import words_inside

if TYPE_CHECKING:
    from turpentine.models.model import Model

KIND = "artefact"
PLACEHOLDER = "<concept>"
_PARTS = ("ids", "vectors")


@dataclass(frozen=True, eq=False)
class Artefact:
    """What an attack leaves behind, which any model that it fits can draw from.

    While it is on a model, its prompts are read as its ids, its word as its vectors, and seed n is its nth latent;
    everything else is as ever. What it changed of the weights would be an `Edit`. Two are equal if they draw alike.

    Args:
        prompts: What to draw.
        ids: By text encoder, a row of padded token ids for each prompt: what was evaluated, whatever the texts say.
            None where the texts are read as ever.
        word: The new word of the prompts, between spaces.
        vectors: By text encoder, the rows that the word stands for.
        latents: Unit noise to begin with; seed n takes the nth.
        first: The step to begin with, of `steps`; the latents are its x_t then.
        steps: Of the solver, where the latents are of one of its steps.
        churn: Fresh noise for each step of DDIM.
        vocabularies: SHA-256 of each text encoder's vocabulary, which says what ids mean.
        about: Who found it, against what; nothing hangs on it.

    Raises:
        BadArgument: It changes nothing that is drawn, or its parts do not go together.

    Example:
        >>> word = Artefact(("a photo of <concept>",), vectors={"text": torch.zeros(1, model.token_width("text"))})
        >>> with word.on(model):
        ...     images = model.generate(word.prompts, seeds=[0], steps=1)
        >>> word.title
        'a word of 1 vector, in the prompt "a photo of <concept>"'
    """

    prompts: tuple[str, ...]
    ids: Mapping[str, Int[Tensor, "prompt token"]] = field(default_factory=dict)
    word: str = PLACEHOLDER
    vectors: Mapping[str, Float[Tensor, "row feature"]] = field(default_factory=dict)
    latents: Float[Tensor, "seed channel height width"] | None = None
    first: int = 0
    steps: int | None = None
    churn: Churn = NO_CHURN
    vocabularies: Mapping[str, str | None] = field(default_factory=dict)
    about: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "prompts", tuple(self.prompts))
        for name in _PARTS:
            plain = {each: tensor.detach().cpu().contiguous() for each, tensor in getattr(self, name).items()}
            object.__setattr__(self, name, plain)
        if self.latents is not None:
            object.__setattr__(self, "latents", self.latents.detach().float().cpu().contiguous())
        _check(self)

    @cached_property
    def id(self) -> str:
        """SHA-256, in hex, of all that decides what is drawn."""
        return digest([self._record(), {name: digest_tensor(tensor) for name, tensor in self._tensors().items()}])

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Artefact) and self.id == other.id)

    def __hash__(self) -> int:
        return hash(self.id)

    @property
    def title(self) -> str:
        """What it is, in words."""
        first = f'"{one_line(self.prompts[0])}"'
        prompt = f"the prompt {first}" if len(self.prompts) == 1 else f"{len(self.prompts)} prompts such as {first}"
        parts = ["given tokens"] if self.ids else []
        if self.vectors:
            rows = len(next(iter(self.vectors.values())))
            parts.append(f"a word of {rows} vector{'s' if rows > 1 else ''}")
        if self.latents is not None:
            parts.append(f"{len(self.latents)} latents" + (f" of step {self.first}" if self.first else ""))
        parts += [f"noise of η {self.churn.eta:g} × {self.churn.noise_scale:g}"] if self.churn else []
        return f"{', '.join(parts)}, in {prompt}" if parts else prompt

    def seeds(self, count: int, start: int = 0) -> list[int]:
        """Return seeds that it can be drawn with: `count` from `start` on, or those of its latents, as many at most."""
        return list(range(start, start + count)) if self.latents is None else list(range(len(self.latents)))[:count]

    def round_trips(self, model: Model) -> bool:
        """Return whether its prompts, typed as texts, become its ids."""
        if not self.ids:
            return True
        typed = model.family.tokenize(self.prompts)
        return all(torch.equal(typed[name].cpu().long(), ids.long()) for name, ids in self.ids.items())

    def check_fits(self, model: Model) -> None:
        """Check that a model can draw from it.

        Raises:
            EditError: The model has other text encoders, another vocabulary, or latents of another shape.
        """
        for why in _misfits(self, model):
            raise EditError(f"This artefact ({self.title}) does not fit {model.name}: {why}.")

    def apply(self, model: Model) -> Artefact:
        """Put it on a model, and return it.

        Raises:
            EditError: It does not fit, or there is one already.
        """
        if model.artefact is not None:
            raise EditError(f"{model.name} draws from an artefact already: take {model.artefact.title} off first.")
        self.check_fits(model)
        model.artefact = self
        return self

    def remove(self, model: Model) -> None:
        """Take it off the model.

        Raises:
            EditError: It is not on the model.
        """
        if model.artefact != self:
            raise EditError(f"This artefact ({self.title}) is not on {model.name}.")
        model.artefact = None

    def on(self, model: Model) -> AbstractContextManager[Model]:
        """Put it on the model for a `with` block; it comes off at the end, also after an error or Ctrl-C."""
        return Reverted(model, lambda: self.apply(model), lambda: self._discard(model))

    def _discard(self, model: Model) -> None:
        if model.artefact == self:
            model.artefact = None

    def is_read_in(self, prompts: Sequence[str]) -> bool:
        """Return whether some prompts are its own or have its word."""
        return any(self._reads(prompt) for prompt in prompts)

    def encode(self, model: Model, prompts: Sequence[str], size: tuple[int, int]) -> Conditioning:
        """Return the conditioning of prompts, of which some may be its own or have its word."""
        unique = list(dict.fromkeys(prompts))
        rows = Conditioning.cat([self._encoded(model, prompt, size) for prompt in unique])
        return rows[[unique.index(prompt) for prompt in prompts]]

    def noise(
        self, model: Model, seeds: Sequence[int], size: Size | None = None
    ) -> Float[Tensor, "seed channel height width"]:
        """Return the latents of seeds, on the model's device.

        Raises:
            BadArgument: There is none for a seed, or the pictures are to be of another size.
        """
        assert self.latents is not None
        if model.latent_shape(size=size) != tuple(self.latents.shape[1:]):
            raise BadArgument("The artefact's latents are of the model's own size: draw without another size.")
        beyond = [seed for seed in seeds if seed >= len(self.latents)]
        if beyond:
            raise BadArgument(
                f"The artefact has {len(self.latents)} latents and none for seed {beyond[0]}: "
                f"give seeds 0 to {len(self.latents) - 1}."
            )
        return self.latents[list(seeds)].to(model.device)

    def check_steps(self, steps: int) -> None:
        """Check that a picture of so many steps can begin where the latents are.

        Raises:
            BadArgument: They are of a step of another number of them.
        """
        if self.first and steps != self.steps:
            raise BadArgument(
                f"The artefact's latents are of step {self.first} of {self.steps}: draw with {self.steps} steps."
            )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write one sealed safetensors file, whole or not at all."""
        write_sealed(path, *self.packed(), KIND)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Artefact:
        """Read what `save` wrote and check every byte of it.

        Raises:
            EditError: The file is missing, foreign, truncated or altered.
        """
        tensors, record = read_sealed(path, KIND)
        try:
            return cls.unpacked(tensors, record)
        except (TypeError, LookupError, ValueError, BadArgument) as error:
            raise EditError(f"{one_line(str(Path(path)))} holds no artefact that Turpentine writes: {error}") from error

    def packed(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return its tensors by name, and the rest as JSON has it."""
        return self._tensors(), {**self._record(), "about": dict(self.about)}

    @classmethod
    def unpacked(cls, tensors: Mapping[str, Tensor], record: Mapping[str, Any]) -> Artefact:
        """Return what `packed` was of."""
        rest = dict(record)
        prompts, churn = tuple(rest.pop("prompts")), Churn(**rest.pop("churn"))
        parts: dict[str, Any] = {part: _named(tensors, part) for part in _PARTS}
        return cls(prompts, **parts, latents=tensors.get("latents"), churn=churn, **rest)

    def _record(self) -> dict[str, Any]:
        plain = {name: getattr(self, name) for name in ("word", "first", "steps")}
        record = {"prompts": list(self.prompts), "vocabularies": dict(self.vocabularies), "churn": asdict(self.churn)}
        return {**record, **plain}

    def _tensors(self) -> dict[str, Tensor]:
        tensors = {f"{part}.{name}": tensor for part in _PARTS for name, tensor in getattr(self, part).items()}
        return tensors | ({} if self.latents is None else {"latents": self.latents})

    def _reads(self, prompt: str) -> bool:
        return bool(self.vectors and self.word in prompt) or bool(self.ids and prompt in self.prompts)

    def _encoded(self, model: Model, prompt: str, size: tuple[int, int]) -> Conditioning:
        if not self._reads(prompt):
            return model.family.encode([prompt], size)
        ids, places = word_ids(model, prompt, self.word if self.vectors else None, self._rows)
        if self.ids and prompt in self.prompts:
            ids = {name: rows[[self.prompts.index(prompt)]].to(model.device) for name, rows in self.ids.items()}
            return model.family.encode_tokens(ids, size)
        return model.family.encode_tokens(ids, size, placed(model, ids, places, self.vectors))

    @property
    def _rows(self) -> int:
        return len(next(iter(self.vectors.values()))) if self.vectors else 0


Places = Mapping[str, list[int]]
"""Where a word's vectors are among the tokens, by text encoder."""


def word_ids(
    model: Model, prompt: str, word: str | None, rows: int
) -> tuple[dict[str, Int[Tensor, "1 token"]], Places]:
    """Return the ids of a prompt with a new word in it, by text encoder, and where the word's tokens are.

    Args:
        model: The model.
        prompt: With the word in it, between spaces.
        word: The word; None for none.
        rows: Tokens that it takes.

    Raises:
        BadArgument: The prompt does not fit with the word in it.
    """
    ids: dict[str, Tensor] = {}
    places: dict[str, list[int]] = {}
    frame = model.family.frame
    for name, tokenizer in model.family.tokenizers.items():
        start, end = frame.around(tokenizer)
        empty = model.family.tokenize([""])[name][0].tolist()
        row, free = list(start), _free(tokenizer)
        at: list[int] = []
        for number, part in enumerate(prompt.split(word) if word else [prompt]):
            if number:
                at += range(len(row), len(row) + rows)
                row += [free] * rows
            row += words_inside(tokenizer, frame.inside(part), frame.before if not number else " ")
        row += end
        if len(row) > len(empty):
            raise BadArgument(
                f"The prompt {prompt!r} has {len(row)} tokens and the model reads {len(empty)}: shorten it."
            )
        padding = padding_before(tokenizer, len(row), len(empty))
        places[name] = [padding + place for place in at]
        ids[name] = torch.tensor([empty[:padding] + row + empty[-1:] * (len(empty) - padding - len(row))])
    return ids, places


def prompt_of_ids(model: Model, ids: Mapping[str, Sequence[int]], after: str = "") -> Artefact:
    """Return the artefact of given tokens, with a text after them; its prompt is how the first encoder's read.

    Args:
        model: The model.
        ids: By text encoder, without start, end and padding; special tokens among them become ordinary ones.
        after: A text that follows them.

    Raises:
        BadArgument: They do not fit into the model.
    """
    rows: dict[str, Tensor] = {}
    text = ""
    for name, tokenizer in model.family.tokenizers.items():
        whole, places = word_ids(model, f"{PLACEHOLDER} {after}", PLACEHOLDER, len(ids[name]))
        ordinary = [each if each not in tokenizer.all_special_ids else _free(tokenizer) for each in ids[name]]
        whole[name][0, places[name]] = torch.tensor(ordinary)
        rows[name] = whole[name]
        text = text or f"{tokenizer.decode(ordinary)} {after}".strip()
    return Artefact((text,), rows, vocabularies=vocabularies_of(model))


def placed(
    model: Model, ids: Mapping[str, Tensor], places: Places, vectors: Mapping[str, Float[Tensor, "row feature"]]
) -> dict[str, Float[Tensor, "1 token width"]]:
    """Return what the encoders read of one prompt with a word's vectors in their places; gradients go to these."""
    result = {}
    for name, table in model.family.embed_tokens(ids).items():
        rows = vectors[name].to(table)
        at = torch.tensor(places[name], device=table.device)
        times = len(places[name]) // max(1, len(rows))
        result[name] = table.index_copy(1, at, rows.repeat(times, 1)[None]) if places[name] else table
    return result


def vocabularies_of(model: Model) -> dict[str, str | None]:
    """Return the SHA-256 of each text encoder's vocabulary."""
    return {name: tokenizer_digest(tokenizer) for name, tokenizer in model.family.tokenizers.items()}


def _free(tokenizer: Any) -> int:
    """Return the first id that is of no special token."""
    return next(each for each in range(len(tokenizer)) if each not in tokenizer.all_special_ids)


def _check(artefact: Artefact) -> None:
    if not artefact.prompts:
        raise BadArgument('An artefact needs a prompt to draw, such as "" for none.')
    for prompt in artefact.prompts:
        check_text(prompt, "The prompt")
    if artefact.vectors and not any(artefact.word in prompt for prompt in artefact.prompts):
        raise BadArgument(f"No prompt of the artefact holds its word {artefact.word}: write it into one.")
    if any(len(rows) != len(artefact.prompts) for rows in artefact.ids.values()):
        raise BadArgument(f"An artefact needs a row of ids for each of its {len(artefact.prompts)} prompts.")
    tensors = [*artefact.vectors.values(), *([] if artefact.latents is None else [artefact.latents])]
    if not all(is_finite(tensor) for tensor in tensors):
        raise BadArgument("An artefact's vectors and latents must be finite, and these hold NaN or infinity.")
    if artefact.first and (artefact.latents is None or artefact.steps is None):
        raise BadArgument("An artefact that begins at a later step needs that step's latents and the number of steps.")


def _misfits(artefact: Artefact, model: Model) -> list[str]:
    """Return why a model cannot draw from an artefact."""
    tables = model.family.token_tables()
    why = []
    for part in filter(None, (artefact.ids, artefact.vectors)):
        if part.keys() != tables.keys():
            why.append(f"it is for {len(part)} text encoder(s) and the model has {len(tables)}")
            return why
    for name, rows in artefact.vectors.items():
        width = tables[name].shape[1]
        if rows.shape[1] != width:
            why.append(f"its vectors have {rows.shape[1]} numbers and the model's have {width}")
    if artefact.ids:
        length = next(iter(artefact.ids.values())).shape[1]
        if length != model.tokens:
            why.append(f"its prompts have {length} tokens and the model's have {model.tokens}")
        elif not all(
            0 <= int(rows.min()) <= int(rows.max()) < len(tables[name]) for name, rows in artefact.ids.items()
        ):
            why.append("it has a token id beyond the model's words")
        elif artefact.vocabularies and dict(artefact.vocabularies) != vocabularies_of(model):
            why.append("its token ids are of another vocabulary")
    if artefact.latents is not None:
        own, shape = tuple(model.latent_shape()), tuple(artefact.latents.shape[1:])
        if own != shape:
            why.append(f"its latents have the shape {shape} and the model's have {own}")
    return why


def _named(tensors: Mapping[str, Tensor], part: str) -> dict[str, Tensor]:
    return {name.removeprefix(f"{part}."): each for name, each in tensors.items() if name.startswith(f"{part}.")}
