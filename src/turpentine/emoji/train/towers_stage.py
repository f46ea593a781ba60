"""The image–text towers' stage: contrastive, as CLIP (Radford 2021), on the world's pictures and captions."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
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
from turpentine.emoji.world import OBJECTS, SCENES, render, styles_of

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
        x = to_tensor([render(item.picture, size) for item in drawn])
        captions = [d.caption for d in drawn]
        seen, said = towers.of_images(x.to(device_of(towers))), towers.of_text(captions)
        with torch.autocast(seen.device.type, enabled=False):
            agreement = towers.log_scale.exp().clamp(max=100) * seen.float() @ said.float().T
        same = torch.tensor([[a == b for b in captions] for a in captions], dtype=torch.float32)
        target = (same / same.sum(1, keepdim=True)).to(agreement.device)
        return (F.cross_entropy(agreement, target) + F.cross_entropy(agreement.T, target)) / 2

    return value


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
