"""The image–text towers' stage: contrastive, as CLIP (Radford 2021), on the world's pictures and captions."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from torch import Tensor
from transformers import CLIPTokenizer

from turpentine.emoji.captions import (
    RELATIONS,
    WORLD,
    Captioned,
    Mixture,
    draw,
    object_caption,
    related_picture,
    relation_caption,
    scene_picture,
    single_picture,
    stream,
    vocabulary,
)
from turpentine.emoji.towers import LENGTH, Towers, tokenized
from turpentine.emoji.train.loop import dtype_of
from turpentine.emoji.train.update import Batch, Loss
from turpentine.emoji.vision import to_tensor
from turpentine.emoji.world import OBJECTS, SCENES, TINTABLE, render, styles_of, tints_of

START, END = "<|startoftext|>", "<|endoftext|>"


def build_tokenizer(entries: int, captions: int = 20_000, mixture: Mixture = WORLD) -> CLIPTokenizer:
    """Train a byte-pair `CLIPTokenizer` of at most `entries` entries on seeded captions of a mixture.

    It is small enough that the rarer words take several tokens, as in Stable Diffusion.
    """
    tokenizer = Tokenizer(models.BPE(continuing_subword_prefix="", end_of_word_suffix="</w>", unk_token=END))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    letters = [chr(c) + end for c in range(ord("a"), ord("z") + 1) for end in ("", "</w>")]
    trainer = trainers.BpeTrainer(
        vocab_size=entries - 2, initial_alphabet=letters[::2], end_of_word_suffix="</w>", show_progress=False
    )
    captioned = stream(0, mixture)
    corpus = [next(captioned).caption for _ in range(captions)] + list(vocabulary(mixture))
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


def _draw(
    rng: np.random.Generator, tokens: Callable[[list[str]], Tensor], batch_size: int, size: int, mixture: Mixture
) -> Batch:
    """Draw pictures, their captions' tokens, and each row's target: pictures of one caption share its probability."""
    captioned = families(rng, batch_size // 2, mixture)
    captioned += [draw(rng, mixture) for _ in range(batch_size - len(captioned))]
    captions = np.array([item.caption for item in captioned])
    same = torch.from_numpy((captions[:, None] == captions).astype(np.float32))
    return {
        "pictures": to_tensor([render(item.picture, size) for item in captioned]),
        "tokens": tokens(captions.tolist()),
        "target": same / same.sum(1, keepdim=True),
    }


def loss(towers: Towers, batch_size: int, size: int, mixture: Mixture = WORLD) -> Loss:
    """Return the loss: symmetric cross-entropy of the similarities.

    Half of a batch is drawn from the world, half is `families`: a contrast teaches only what it has to distinguish.
    """

    def value(batch: Batch) -> Tensor:
        images, texts = towers.of_images(batch["pictures"].to(dtype_of(towers))), towers.of_tokens(batch["tokens"])
        similarity = towers.log_scale.exp().clamp(max=100) * images.float() @ texts.float().T
        target = batch["target"]
        return (F.cross_entropy(similarity, target) + F.cross_entropy(similarity.T, target)) / 2

    tokens = partial(tokenized, towers.tokenizer)
    return Loss(partial(_draw, tokens=tokens, batch_size=batch_size, size=size, mixture=mixture), value)


def families(rng: np.random.Generator, count: int, mixture: Mixture = WORLD) -> list[Captioned]:
    """Draw `count` captioned pictures in families, whose captions differ in one thing only.

    A family is one object, once in each of its styles, the style always named, and its scenes: a scene differs from its
    object's caption by what else it shows. In the larger world also an object once in each of its tints, and two
    objects once in each relation, either of them first.
    """
    captioned: list[Captioned] = []
    while len(captioned) < count:
        u = rng.random() if "relation" in mixture.kinds else 1.0
        captioned += _tints(rng) if u < 0.2 else _relations(rng) if u < 0.45 else _styles(rng)
    return captioned[:count]


def _styles(rng: np.random.Generator) -> list[Captioned]:
    obj = OBJECTS[int(rng.integers(len(OBJECTS)))]
    names_object, names_colour, is_small = (bool(each) for each in rng.random(3) < (0.75, 0.5, 0.1))
    captioned = []
    for style in styles_of(obj):
        picture = single_picture(rng, obj, style, small=is_small)
        colour = picture.background if names_colour else None
        noun = obj if names_object else "picture"
        caption = object_caption(noun, style, colour, small=is_small and names_object)
        captioned.append(Captioned(picture, caption, "small" if is_small else "object"))
    for scene in (scene for scene, main in SCENES.items() if main == obj):
        picture = scene_picture(rng, scene, obj, styles_of(obj)[int(rng.integers(len(styles_of(obj))))])
        captioned.append(Captioned(picture, scene, "scene"))
    return captioned


def _tints(rng: np.random.Generator) -> list[Captioned]:
    obj = TINTABLE[int(rng.integers(len(TINTABLE)))]
    style = styles_of(obj)[int(rng.integers(len(styles_of(obj))))]
    names_style, names_colour = (bool(each) for each in rng.random(2) < 0.5)
    captioned = []
    for tint in tints_of(obj):
        picture = single_picture(rng, obj, style, tint=tint)
        colour = picture.background if names_colour else None
        caption = object_caption(obj, style if names_style else None, colour, tint=tint)
        captioned.append(Captioned(picture, caption, "tinted"))
    return captioned


def _relations(rng: np.random.Generator) -> list[Captioned]:
    one, other = (OBJECTS[int(i)] for i in rng.choice(len(OBJECTS), 2, replace=False))
    captioned = []
    for relation in RELATIONS:
        for pair in ((one, other), (other, one)):
            picture = related_picture(rng, *pair, relation)
            if picture is not None:
                captioned.append(Captioned(picture, relation_caption(picture, relation), "relation"))
    return captioned
