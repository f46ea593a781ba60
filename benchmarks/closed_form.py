"""Time the closed-form edits on the shapes of Stable Diffusion 1.4, 2.1 and SDXL, with random weights.

    python benchmarks/closed_form.py                        # all three shapes; needs 8 GB
    python benchmarks/closed_form.py --shapes sd14 --published --out closed_form.json

Only what these methods touch has weights: the keys and values of cross-attention, and text encoders of the true width
but with one layer or two, since a text's cost is told apart: the clock of an edit stands while a text is encoded. The
best of `--repeat` runs counts. `--published` times a plain reading of the published loop beside ours: an inverse and
all outer products for every layer anew.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path
from string import ascii_lowercase
from typing import Any

import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, StableDiffusionXLPipeline
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

import turpentine as tp
from turpentine.core.atomic_files import write_text_whole
from turpentine.erase._closed_form.subject_prompts import SubjectPrompt
from turpentine.erase._closed_form.text_states import key_and_value_weights, text_states
from turpentine.erase.diff_quickfix import DiffQuickFix
from turpentine.erase.loco_edit import LocoEdit
from turpentine.erase.rece import RECE
from turpentine.erase.uce import UCE

CROSS, PLAIN_DOWN, PLAIN_UP = ("CrossAttnDownBlock2D", "CrossAttnUpBlock2D"), "DownBlock2D", "UpBlock2D"


@dataclass(frozen=True)
class Shape:
    """A model's shape: the arguments of its UNet, and width and heads of each of its text encoders."""

    unet: dict[str, Any]
    encoders: tuple[tuple[int, int], ...]


SD = {
    "block_out_channels": (320, 640, 1280, 1280),
    "down_block_types": (CROSS[0],) * 3 + (PLAIN_DOWN,),
    "up_block_types": (PLAIN_UP,) + (CROSS[1],) * 3,
}
SHAPES = {
    "sd14": Shape({**SD, "sample_size": 64, "cross_attention_dim": 768, "attention_head_dim": 8}, ((768, 12),)),
    "sd21": Shape(
        {**SD, "sample_size": 96, "cross_attention_dim": 1024, "attention_head_dim": (5, 10, 20, 20)}, ((1024, 16),)
    ),
    "sdxl": Shape(
        {
            "block_out_channels": (320, 640, 1280),
            "down_block_types": (PLAIN_DOWN, CROSS[0], CROSS[0]),
            "up_block_types": (CROSS[1], CROSS[1], PLAIN_UP),
            "transformer_layers_per_block": (1, 2, 10),
            "sample_size": 128,
            "cross_attention_dim": 2048,
            "attention_head_dim": (5, 10, 20),
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": 256,
            "projection_class_embeddings_input_dim": 2816,
        },
        ((768, 12), (1280, 20)),
    ),
}

WORDS = ["".join(letters) for letters in product(ascii_lowercase, repeat=3)]


@dataclass(frozen=True)
class Timing:
    """One edit of one shape: seconds to encode its texts, seconds after that, and the size of what changed."""

    shape: str
    edit: str
    text_seconds: float
    seconds: float
    tensors: int
    megabytes: float


def build(shape: Shape) -> tp.Model:
    """A pipeline of the shape; only what closed forms read or change has weights, and those are random."""
    torch.manual_seed(0)
    with torch.device("meta"):
        unet = UNet2DConditionModel(**shape.unet, use_linear_projection=len(shape.encoders) > 1)
        vae = AutoencoderKL(block_out_channels=(32,) * 4, down_block_types=("DownEncoderBlock2D",) * 4)
    for name, module in unet.named_modules():
        if name.endswith(("attn2.to_k", "attn2.to_v")):
            module.to_empty(device="cpu").reset_parameters()
    scheduler = DDIMScheduler(beta_schedule="scaled_linear", clip_sample=False, steps_offset=1)
    parts: dict[str, Any] = {"unet": unet, "vae": vae, "scheduler": scheduler}
    for suffix, (width, heads) in zip(("", "_2"), shape.encoders, strict=False):
        kind = CLIPTextModelWithProjection if suffix else CLIPTextModel
        parts |= {f"tokenizer{suffix}": tokenizer(), f"text_encoder{suffix}": kind(text_config(width, heads)).eval()}
    if len(shape.encoders) > 1:
        model = tp.Model(StableDiffusionXLPipeline(**parts, add_watermarker=False), "SDXL's shape")
    else:
        extras = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
        model = tp.Model(StableDiffusionPipeline(**parts, **extras), "Stable Diffusion's shape")
    model.__dict__["fingerprint"] = "random"  # most of the weights are not there to be hashed
    return model


def tokenizer() -> CLIPTokenizer:
    """One that spells: each letter is a token."""
    pieces = [*ascii_lowercase, *(f"{letter}</w>" for letter in ascii_lowercase), "<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(vocab={piece: index for index, piece in enumerate(pieces)}, merges=[], model_max_length=77)


def text_config(width: int, heads: int) -> CLIPTextConfig:
    sizes = {"hidden_size": width, "num_attention_heads": heads, "intermediate_size": 64, "num_hidden_layers": 2}
    return CLIPTextConfig(vocab_size=54, bos_token_id=52, eos_token_id=53, projection_dim=width, **sizes)


def edits() -> Iterator[tuple[str, Callable[..., tp.Edit], list[tp.Concept]]]:
    """Name, method and concepts of each edit that is timed."""
    one, hundred = [tp.Concept("church")], [tp.Concept(word) for word in WORDS[:100]]
    yield "UCE, 1 concept", UCE(), one
    yield "UCE, paper's form, 1 concept", UCE(variant="paper"), one
    kept = tuple(WORDS[100:1100])
    yield "UCE, 100 concepts, 1,000 preserved", UCE(preserve=kept), hundred
    yield "UCE, paper's form, 100 concepts, 1,000 preserved", UCE(variant="paper", preserve=kept), hundred
    yield "LocoEdit, 1 concept", LocoEdit(), one
    yield "RECE, 1 concept, 5 rounds", RECE(), one
    yield "DiffQuickFix, 1 concept", DiffQuickFix(positions="tail"), one


def timed(model: tp.Model, edit: Callable[..., tp.Edit], concepts: list[tp.Concept]) -> tuple[float, ...]:
    """Seconds in which texts are encoded, seconds of the rest, tensors, megabytes."""
    with encoding(model) as encoded:
        start = time.perf_counter()
        made = edit(model, concepts)
        total = time.perf_counter() - start
    size = sum(delta.nbytes for delta in made.deltas.values()) / 1e6
    return sum(encoded), total - sum(encoded), len(made.deltas), size


@contextmanager
def encoding(model: tp.Model) -> Iterator[list[float]]:
    """The seconds of each call that encodes texts, inside a `with` block."""
    seconds: list[float] = []
    encode = model.encode

    def clocked(*args: Any, **kwargs: Any) -> Any:
        start = time.perf_counter()
        states = encode(*args, **kwargs)
        seconds.append(time.perf_counter() - start)
        return states

    model.__dict__["encode"] = clocked
    try:
        yield seconds
    finally:
        del model.__dict__["encode"]


def published(model: tp.Model, concepts: int, preserved: int) -> float:
    """Seconds of a plain reading of the published loop, given the texts' states: fp32, layer by layer, text by text."""
    keys = text_states(model, [SubjectPrompt(word) for word in WORDS[: concepts + preserved]], "last")
    guide = text_states(model, [SubjectPrompt("")], "last")[0].float().T
    states = [state.float().T for state in keys]
    start = time.perf_counter()
    for name in key_and_value_weights(model, "*"):
        w = model.parameter(name).detach()
        left, right = 0.5 * w, 0.5 * torch.eye(w.shape[1])
        for index, k in enumerate(states):
            left += (w @ (guide if index < concepts else k)) @ k.T
            right += k @ k.T
        left @ torch.inverse(right)
    return time.perf_counter() - start


def measure(name: str, shape: Shape, repeat: int, with_published: bool) -> Iterator[Timing]:
    model = build(shape)
    for label, edit, concepts in edits():
        runs = [timed(model, edit, concepts) for _ in range(repeat)]
        text, seconds, tensors, size = min(runs, key=lambda run: run[1])
        yield Timing(name, label, text, seconds, int(tensors), size)
    if with_published:
        for concepts, preserved in ((1, 0), (100, 1000)):
            label = f"published loop, {concepts} and {preserved:,} preserved"
            yield Timing(name, label, 0.0, published(model, concepts, preserved), 0, 0.0)


def tiny(shape: Shape) -> Shape:
    """The same anatomy a tenth as wide, of small pictures, to try the benchmark itself."""
    channels = tuple(width // 10 for width in shape.unet["block_out_channels"])
    encoders = tuple((width // 8, heads // 2) for width, heads in shape.encoders)
    width = sum(width for width, _ in encoders)
    return replace(
        shape,
        unet={**shape.unet, "block_out_channels": channels, "cross_attention_dim": width, "sample_size": 8},
        encoders=encoders,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, default=list(SHAPES))
    parser.add_argument("--repeat", type=int, default=3, help="runs of each edit; the best counts")
    parser.add_argument("--threads", type=int, default=2, help="CPU cores to use")
    parser.add_argument("--published", action="store_true", help="time the published loop too")
    parser.add_argument("--tiny", action="store_true", help="shapes a tenth as wide, to try this benchmark itself")
    parser.add_argument("--out", type=Path, help="write the timings as JSON")
    args = parser.parse_args()

    torch.set_num_threads(args.threads)
    timings = []
    for name in args.shapes:
        shape = tiny(SHAPES[name]) if args.tiny else SHAPES[name]
        for timing in measure(name, shape, args.repeat, args.published):
            timings.append(timing)
            print(
                f"{timing.shape:5} {timing.edit:50} texts {timing.text_seconds:8.3f} s   then {timing.seconds:8.3f} s"
                f"   {timing.tensors:4} tensors {timing.megabytes:8.1f} MB",
                flush=True,
            )
    if args.out:
        write_text_whole(args.out, json.dumps([asdict(timing) for timing in timings], indent=2))


if __name__ == "__main__":
    main()
