"""The image–text towers' stages: contrastive, as CLIP (Radford 2021), then the image tower against locked text."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from torch import Tensor
from transformers import CLIPTokenizer

from turpentine.emoji.captions import (
    Captioned,
    draw,
    object_caption,
    scene_picture,
    single_picture,
    stream,
    vocabulary,
)
from turpentine.emoji.towers import LENGTH, Towers
from turpentine.emoji.train.loop import Loss, device_of
from turpentine.emoji.vision import to_tensor
from turpentine.emoji.world import COLOURS, OBJECTS, SCENES, STYLES, Picture, render, styles_of, visible_on

START, END = "<|startoftext|>", "<|endoftext|>"


def build_tokenizer(entries: int, captions: int = 20_000) -> CLIPTokenizer:
    """A byte-pair `CLIPTokenizer` of at most `entries` entries, learnt on seeded captions.

    Small enough that the rarer words take several tokens, as in Stable Diffusion.
    """
    tokenizer = Tokenizer(models.BPE(continuing_subword_prefix="", end_of_word_suffix="</w>", unk_token=END))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    letters = [chr(c) + end for c in range(ord("a"), ord("z") + 1) for end in ("", "</w>")]
    trainer = trainers.BpeTrainer(
        vocab_size=entries - 2, initial_alphabet=letters[::2], end_of_word_suffix="</w>", show_progress=False
    )
    drawn = stream(0)
    corpus = [next(drawn).caption for _ in range(captions)] + list(vocabulary())
    tokenizer.train_from_iterator(corpus, trainer)
    return _as_clip(tokenizer)


def _as_clip(tokenizer: Tokenizer) -> CLIPTokenizer:
    """The learnt vocabulary and merges in the two files that `CLIPTokenizer` reads."""
    learnt = json.loads(tokenizer.to_str())["model"]
    letters = [letter + end for end in ("", "</w>") for letter in "abcdefghijklmnopqrstuvwxyz"]
    # The trainer numbers letters anew in each process, so they are numbered here; what it merges is always the same.
    merged = [token for token, _ in sorted(learnt["vocab"].items(), key=lambda item: item[1]) if token not in letters]
    vocab = {token: number for number, token in enumerate([*letters, *merged, START, END])}
    merges = [m if isinstance(m, str) else " ".join(m) for m in learnt["merges"]]
    with tempfile.TemporaryDirectory() as folder:
        vocab_file, merges_file = Path(folder, "vocab.json"), Path(folder, "merges.txt")
        vocab_file.write_text(json.dumps(vocab))
        merges_file.write_text("\n".join(["#version: 0.2", *merges, ""]))
        return CLIPTokenizer(vocab=str(vocab_file), merges=str(merges_file), model_max_length=LENGTH)


def loss(towers: Towers, batch_size: int, size: int) -> Loss:
    """Symmetric cross-entropy of the agreement; pictures of one caption share its share.

    Half of a batch is the world's, half is `cousins`: what a contrast never has to tell apart is not learnt.
    """

    def value(rng: np.random.Generator) -> Tensor:
        drawn = cousins(rng, batch_size // 2)
        drawn += [draw(rng) for _ in range(batch_size - len(drawn))]
        captions = [d.caption for d in drawn]
        return contrast(towers, [d.picture for d in drawn], captions, _equal(captions), size)

    return value


def locked_loss(towers: Towers, batch_size: int, size: int) -> Loss:
    """For the image tower alone, the text tower locked (Zhai 2022): half of a batch the world's, half `siblings`.

    Among siblings a caption is right for every picture that it is true of, not only for the one it was drawn with.
    """

    def value(rng: np.random.Generator) -> Tensor:
        related = siblings(rng, batch_size // 2)
        drawn = [draw(rng) for _ in range(batch_size - len(related))]
        said = [sibling.caption for sibling in related]
        true = torch.tensor([[caption.true_of(seen) for caption in related] for seen in related])
        captions = [d.caption for d in drawn]
        among_siblings = contrast(towers, [sibling.picture for sibling in related], said, true, size)
        return (among_siblings + contrast(towers, [d.picture for d in drawn], captions, _equal(captions), size)) / 2

    return value


def contrast(
    towers: Towers, pictures: list[Picture], captions: list[str], true: Bool[Tensor, "pictures captions"], size: int
) -> Tensor:
    """Symmetric cross-entropy of the agreement; where several captions are true of a picture, they share it."""
    x = to_tensor([render(picture, size) for picture in pictures])
    seen, said = towers.of_images(x.to(device_of(towers))), towers.of_text(captions)
    with torch.autocast(seen.device.type, enabled=False):
        agreement = towers.log_scale.exp().clamp(max=100) * seen.float() @ said.float().T
    right = true.float().to(agreement.device)
    by_picture, by_caption = right / right.sum(1, keepdim=True), right.T / right.T.sum(1, keepdim=True)
    return (F.cross_entropy(agreement, by_picture) + F.cross_entropy(agreement.T, by_caption)) / 2


def _equal(captions: list[str]) -> Bool[Tensor, "captions captions"]:
    return torch.tensor([[a == b for b in captions] for a in captions])


@dataclass(frozen=True)
class Sibling:
    """A picture of one object, and the parts of it that its caption says."""

    picture: Picture
    says_object: bool
    says_style: bool
    says_colour: bool

    @property
    def caption(self) -> str:
        placed = self.picture.placed[0]
        return object_caption(
            placed.object if self.says_object else "picture",
            placed.style if self.says_style else None,
            self.picture.background if self.says_colour else None,
        )

    def true_of(self, other: Sibling) -> bool:
        """Whether this caption is true of the other picture."""
        mine, theirs = self.picture.placed[0], other.picture.placed[0]
        return (
            (not self.says_object or mine.object == theirs.object)
            and (not self.says_style or mine.style == theirs.style)
            and (not self.says_colour or self.picture.background == other.picture.background)
        )


def siblings(rng: np.random.Generator, count: int, family: int = 16) -> list[Sibling]:
    """`count` pictures in families: different objects in one style, on one background where it does not hide them."""
    found: list[Sibling] = []
    while len(found) < count:
        style, colour = (str(rng.choice(options)) for options in (STYLES, list(COLOURS)))
        drawn = [obj for obj in OBJECTS if style in styles_of(obj)]
        for obj in rng.permutation(drawn)[:family].tolist():
            kept = colour if colour in visible_on(obj, style) else None
            says = (rng.random(3) < (0.9, 0.3, 0.3)).tolist()
            found.append(Sibling(single_picture(rng, obj, style, kept), *says))
    return found[:count]


def cousins(rng: np.random.Generator, count: int) -> list[Captioned]:
    """`count` captioned pictures in families: one object, once in each of its styles, the style always said.

    An object's scenes are of its family: a scene is told from its object's name by what else it shows.
    """
    found: list[Captioned] = []
    while len(found) < count:
        obj = OBJECTS[int(rng.integers(len(OBJECTS)))]
        said = rng.random(3) < (0.75, 0.5, 0.1)
        for style in styles_of(obj):
            picture = single_picture(rng, obj, style, small=bool(said[2]))
            colour = picture.background if said[1] else None
            caption = object_caption(obj if said[0] else "picture", style, colour, small=bool(said[2] and said[0]))
            found.append(Captioned(picture, caption, "small" if said[2] else "object"))
        for scene in (scene for scene, shown in SCENES.items() if shown == obj):
            picture = scene_picture(rng, scene, obj, styles_of(obj)[int(rng.integers(len(styles_of(obj))))])
            found.append(Captioned(picture, scene, "scene"))
    return found[:count]
