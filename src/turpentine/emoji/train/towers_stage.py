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
    """Train a byte-pair `CLIPTokenizer` of at most `entries` entries on seeded captions.

    It is small enough that the rarer words take several tokens, as in Stable Diffusion.
    """
    tokenizer = Tokenizer(models.BPE(continuing_subword_prefix="", end_of_word_suffix="</w>", unk_token=END))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    letters = [chr(c) + end for c in range(ord("a"), ord("z") + 1) for end in ("", "</w>")]
    trainer = trainers.BpeTrainer(
        vocab_size=entries - 2, initial_alphabet=letters[::2], end_of_word_suffix="</w>", show_progress=False
    )
    captioned = stream(0)
    corpus = [next(captioned).caption for _ in range(captions)] + list(vocabulary())
    tokenizer.train_from_iterator(corpus, trainer)
    return _as_clip(tokenizer)


def _as_clip(tokenizer: Tokenizer) -> CLIPTokenizer:
    """Convert the learnt vocabulary and merges to a `CLIPTokenizer`."""
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
    """Return the loss: symmetric cross-entropy of the similarities; pictures of one caption share its probability.

    Half of a batch is drawn from the world, half is `families`: a contrast teaches only what it has to distinguish.
    """

    def value(rng: np.random.Generator) -> Tensor:
        captioned = families(rng, batch_size // 2)
        captioned += [draw(rng) for _ in range(batch_size - len(captioned))]
        x = to_tensor([render(item.picture, size) for item in captioned])
        captions = [item.caption for item in captioned]
        images, texts = towers.of_images(x.to(device_of(towers))), towers.of_text(captions)
        with torch.autocast(images.device.type, enabled=False):
            similarity = towers.log_scale.exp().clamp(max=100) * images.float() @ texts.float().T
        same = torch.tensor([[a == b for b in captions] for a in captions], dtype=torch.float32)
        target = (same / same.sum(1, keepdim=True)).to(similarity.device)
        return (F.cross_entropy(similarity, target) + F.cross_entropy(similarity.T, target)) / 2

    return value


def families(rng: np.random.Generator, count: int) -> list[Captioned]:
    """Draw `count` captioned pictures in families: one object, once in each of its styles, the style always named.

    An object's scenes belong to its family: a scene differs from its object's caption by what else it shows.
    """
    captioned: list[Captioned] = []
    while len(captioned) < count:
        obj = OBJECTS[int(rng.integers(len(OBJECTS)))]
        names_object, names_colour, is_small = (bool(each) for each in rng.random(3) < (0.75, 0.5, 0.1))
        for style in styles_of(obj):
            picture = single_picture(rng, obj, style, small=is_small)
            colour = picture.background if names_colour else None
            noun = obj if names_object else "picture"
            caption = object_caption(noun, style, colour, small=is_small and names_object)
            captioned.append(Captioned(picture, caption, "small" if is_small else "object"))
        for scene in (scene for scene, main in SCENES.items() if main == obj):
            picture = scene_picture(rng, scene, obj, styles_of(obj)[int(rng.integers(len(styles_of(obj))))])
            captioned.append(Captioned(picture, scene, "scene"))
    return captioned[:count]
