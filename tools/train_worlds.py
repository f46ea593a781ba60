"""Train the worlds on one GPU in minutes: the larger model, the transformer, oracles and the whole recipe.

python tools/train_worlds.py --all --device cuda --minutes 9 --out runs/worlds
python tools/train_worlds.py --all --device cpu --tiny --out /tmp/worlds       # everything once, in minutes

Every training is a thread with a stream of its own: networks this small leave most of a GPU idle one by one. They begin
in the order of their worth; one that cannot end in time does not begin. Written are weights (the denoisers as rows of
int8), logs, and what each model draws as the shipped judge sees it.
"""

from __future__ import annotations

import argparse
import json
import os
import threading
import time
import traceback
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from diffusers import AutoencoderKL
from PIL import Image

import turpentine as tp
from turpentine.core.int8_rows import packed
from turpentine.core.tensors import save_tensors
from turpentine.emoji import WEIGHTS
from turpentine.emoji.captions import object_caption, with_article
from turpentine.emoji.judge_network import ANSWERS, JudgeNet, load_judge
from turpentine.emoji.towers import Towers, load_towers
from turpentine.emoji.train import flow
from turpentine.emoji.train.assemble import assemble
from turpentine.emoji.train.oracle import Oracle
from turpentine.emoji.train.presets import PRESETS, Preset, Stage, TransformerPreset
from turpentine.emoji.train.retrain import retrain
from turpentine.emoji.train.stages import WorldTraining
from turpentine.emoji.train.transformer import pictures, train_transformer
from turpentine.emoji.train.update import building
from turpentine.emoji.world import COLOURS, OBJECTS, SCENES, STYLES, held_out_pairs, styles_of

T = TypeVar("T")

GRACE = 30.0
"""Seconds after the deadline in which what is being written may still be; then all ends."""

TWO = (("dog", "church"), ("truck", "fish"), ("cat", "horn"), ("apple", "key"), ("parachute", "saw"))
"""The pairs of objects that the card counts."""


@dataclass
class Session:
    """What all trainings of a run share.

    Args:
        out: Folder of what is written.
        work: Folder of checkpoints.
        device: Where to train.
        deadline: Of `time.monotonic`, by which all ends.
        tiny: Whether everything is as small as it can be.
        seeds: Pictures of each prompt of a card.
        strict: Seconds from the start within which a failure of one ends all, so that time is left to mend it.
    """

    out: Path
    work: Path
    device: str
    deadline: float
    tiny: bool
    seeds: int
    strict: float
    began: float = field(default_factory=time.monotonic)
    cards: dict[str, object] = field(default_factory=dict)
    larger_towers: Future[Towers] = field(default_factory=Future)

    @property
    def left(self) -> float:
        """Seconds left."""
        return self.deadline - time.monotonic()

    def say(self, name: str) -> Callable[[str], None]:
        """Return what prints a training's lines, a tenth of those on its progress."""
        count = 0

        def line(text: str) -> None:
            nonlocal count
            count += 1
            if "updates/s" not in text or count % 20 == 0:
                print(f"{time.monotonic() - self.began:6.0f} s  {name}: {text}", flush=True)

        return line

    def note(self, name: str, facts: object) -> None:
        """Write a card's facts, and all cards until now."""
        self.cards[name] = facts
        (self.out / "cards.json").write_text(json.dumps(self.cards, indent=1))


def shrunk(preset: Preset) -> Preset:
    """The preset with two updates a stage."""
    stages = ("autoencoder", "towers", "judge", "unet", "finish")
    small = {name: shrunk_stage(getattr(preset, name)) for name in stages}
    return replace(
        preset,
        cached_pictures=32,
        vae_channels=(8, 8, 8),
        text_width=32,
        text_layers=1,
        text_heads=2,
        unet_channels=(16, 16, 16, 16),
        unet_heads=2,
        **small,
    )


def shrunk_stage(stage: Stage) -> Stage:
    """The stage with five small updates: on a GPU, the last are a graph."""
    return Stage(8, replace(stage.schedule, updates=5))


def timed(stage: Stage, seconds: float) -> Stage:
    """The stage with a longest time."""
    return replace(stage, schedule=replace(stage.schedule, seconds=round(seconds)))


def larger(session: Session) -> None:
    """The model of 64 px: towers, autoencoder, denoiser; its judge is trained by processors alone, beside."""
    total = session.left
    preset = PRESETS["64"]
    if session.tiny:
        preset = shrunk(preset)
    else:
        preset = replace(
            preset,
            autoencoder=timed(preset.autoencoder, 0.17 * total),
            judge=timed(preset.judge, 0.5 * total),
            unet=timed(preset.unet, 0.28 * total),
            finish=timed(preset.finish, 0.4 * total),
        )
    name = "emoji-64"
    training = WorldTraining(
        preset, session.work / name, session.say(name), device=session.device, workers=0 if session.tiny else 5
    )
    training.render_ahead()
    with ThreadPoolExecutor(2) as beside:
        towers = beside.submit(on_stream, session, partial(larger_towers, session, training))
        vae = training.autoencoder()
        both = towers.result()
        judge = beside.submit(on_stream, session, partial(training.judge, vae))
        unet = training.unet(vae, both)
        trained_judge = judge.result()
    folder = session.work / name / "weights"
    with building:
        assemble(vae, both, unet, trained_judge, folder)
    save_tensors(session.out / f"{name}.safetensors", packed(unet.state_dict()))
    parts = {
        f"{part}.{key}": value.half()
        for part, module in (("vae", vae), ("towers", both), ("judge", trained_judge))
        for key, value in module.state_dict().items()
    }
    save_tensors(session.out / f"{name}-parts.safetensors", parts)
    vocabulary = both.tokenizer.backend_tokenizer.to_str()
    session.note(
        name,
        {
            "scale": vae.config.scaling_factor,
            "tokenizer": vocabulary,
            **drawn(session, folder),
            **logs(session.work / name),
        },
    )


def larger_towers(session: Session, training: WorldTraining) -> Towers:
    """The larger world's towers, which the transformer waits for."""
    towers = training.towers()
    if session.device != "cpu":
        with building:
            torch.cuda.synchronize()  # another stream will read them
    session.larger_towers.set_result(towers)
    return towers


def transformer(session: Session) -> None:
    """The transformer, beside the shipped autoencoder, the shipped text tower and the larger world's."""
    name, preset = "emoji-mmdit", TransformerPreset()
    if session.tiny:
        preset = replace(
            preset,
            cached_pictures=32,
            layers=2,
            heads=2,
            head_width=8,
            flow=shrunk_stage(preset.flow),
            finish=shrunk_stage(preset.finish),
        )
    pool = ProcessPoolExecutor(2, get_context("forkserver"))
    ahead = [pool.submit(all_chunks, preset, number) for number in range(2)]
    with building:
        vae = AutoencoderKL.from_pretrained(WEIGHTS / "vae", use_safetensors=True).eval().to(session.device)
        first = load_towers(WEIGHTS).to(session.device)
    pair = first, session.larger_towers.result()
    total = session.left
    if not session.tiny:
        preset = replace(preset, flow=timed(preset.flow, 0.42 * total), finish=timed(preset.finish, 0.42 * total))
    network = train_transformer(
        preset,
        session.work / name,
        session.say(name),
        vae,
        pair,
        device=session.device,
        chunks=lambda number: ahead[number].result(),
    )
    save_tensors(session.out / f"{name}.safetensors", packed(network.state_dict()))
    pipe = flow.pipeline(vae, (pair[0].text, pair[1].text), (pair[0].tokenizer, pair[1].tokenizer), network)
    pipe.set_progress_bar_config(disable=True)

    def draw(prompts: list[str], seeds: list[int]) -> list[Image.Image]:
        noise = torch.stack([torch.randn(4, 8, 8, generator=torch.Generator().manual_seed(seed)) for seed in seeds])
        images: list[Image.Image] = pipe(
            prompts,
            latents=noise.to(session.device),
            num_inference_steps=2 if session.tiny else 20,
            guidance_scale=4.0,
            output_type="pil",
        ).images
        return images

    session.note(name, {**rates(session, draw), **logs(session.work / name)})


def all_chunks(preset: TransformerPreset, number: int) -> list:  # type: ignore[type-arg]
    """Render one stage's pictures, in a process of its own."""
    return list(pictures(preset, 0, number))


def oracle(session: Session, concept: str, unnamed: bool, seed: int, keep: bool) -> None:
    """A denoiser in a world without a concept."""
    name = f"{'unnamed' if unnamed else 'without'}-{concept}-{seed}"
    preset = shrunk_denoiser() if session.tiny else PRESETS["gpu"]
    folder = session.work / name
    unet = retrain(
        Oracle(concept, unnamed),
        preset,
        folder,
        session.say(name),
        device=session.device,
        seed=seed,
        ahead=not session.tiny,
    )
    if keep:
        save_tensors(session.out / f"{name}.safetensors", packed(unet.state_dict()))
    session.note(name, {**drawn(session, folder / "weights"), **logs(folder)})


def shrunk_denoiser() -> Preset:
    preset = PRESETS["gpu"]
    return replace(
        preset,
        cached_pictures=32,
        unet_channels=(16,) * 4,
        unet_heads=2,
        unet=shrunk_stage(preset.unet),
        finish=shrunk_stage(preset.finish),
    )


def whole(session: Session) -> None:
    """The whole recipe of the shipped model, from nothing."""
    name = "whole-0"
    preset = shrunk(PRESETS["gpu"]) if session.tiny else PRESETS["gpu"]
    training = WorldTraining(
        preset, session.work / name, session.say(name), device=session.device, workers=0 if session.tiny else 4
    )
    training.render_ahead()
    with ThreadPoolExecutor(1) as beside:
        towers = beside.submit(on_stream, session, training.towers)
        vae = training.autoencoder()
        both = towers.result()
    unet = training.unet(vae, both)
    folder = session.work / name / "weights"
    with building:
        assemble(vae, both, unet, load_judge(), folder)
    session.note(name, {**drawn(session, folder), **logs(session.work / name)})


def logs(folder: Path) -> dict[str, object]:
    """Each stage's number of updates, seconds and mean loss over its last hundred updates."""
    found: dict[str, object] = {}
    for path in sorted(folder.glob("*.csv")):
        rows = np.genfromtxt(path, delimiter=",", names=True)
        curve = [round(float(part.mean()), 5) for part in np.array_split(rows["loss"], 60) if len(part)]
        found[path.stem] = {
            "updates": len(rows),
            "seconds": float(rows["seconds"][-1]),
            "last": curve[-1],
            "curve": curve,
        }
    return {"stages": found}


def drawn(session: Session, folder: Path) -> dict[str, object]:
    """What a model of a folder draws."""
    with building:
        model = tp.load(folder, device=session.device)
    steps, solver = (2, "ddim") if session.tiny else (20, "ddim")

    def draw(prompts: list[str], seeds: list[int]) -> list[Image.Image]:
        pictures = model.generate(
            prompts, seeds=seeds, steps=steps, solver=solver, batch_size=len(prompts), progress=False
        )
        return list(pictures)

    return rates(session, draw)


def rates(session: Session, draw: Callable[[list[str], list[int]], list[Image.Image]]) -> dict[str, object]:
    """The card in the small: hits of each label, of the pictures drawn for it."""
    with building:
        judge = load_judge()
    asked = questions()
    rows = [(group, label, prompt, seed) for group, label, prompt in asked for seed in range(session.seeds)]
    hits: dict[str, dict[str, list[int]]] = {}
    for start in range(0, len(rows), 250):
        part = rows[start : start + 250]
        images = draw([row[2] for row in part], [row[3] for row in part])
        for (group, label, _, _), right in zip(part, right_answers(judge, part, images), strict=True):
            count = hits.setdefault(group, {}).setdefault(label, [0, 0])
            count[0] += int(right)
            count[1] += 1
    return {"hits": hits}


def questions() -> list[tuple[str, str, str]]:
    """Kind, label and prompt of what the card asks."""
    asked = [("object", obj, object_caption(obj)) for obj in OBJECTS]
    for s, style in enumerate(STYLES):
        names = [obj for obj in OBJECTS if style in styles_of(obj)]
        asked += [("style", style, object_caption(names[(7 * s + 13 * k) % len(names)], style)) for k in range(3)]
    asked += [
        ("colour", c, object_caption(OBJECTS[(3 * n + 11) % len(OBJECTS)], colour=c)) for n, c in enumerate(COLOURS)
    ]
    asked += [("scene", scene, scene) for scene in SCENES]
    asked += [("unseen pair", f"{obj}, {style}", object_caption(obj, style)) for obj, style in sorted(held_out_pairs())]
    asked += [("two", f"{a}, {b}", f"{with_article(a)} and {with_article(b)}") for a, b in TWO]
    return asked


def right_answers(judge: JudgeNet, part: list[tuple[str, str, str, int]], images: list[Image.Image]) -> list[bool]:
    """Whether each picture shows what it should."""
    answers = judge.probabilities(images)
    best = {a: [ANSWERS[a][i] for i in values.argmax(1).tolist()] for a, values in answers.items()}
    top = [{ANSWERS["object"][i] for i in row} for row in answers["object"].topk(2).indices.tolist()]
    found = []
    for n, (group, label, _, _) in enumerate(part):
        obj, _, style = label.partition(", ")
        found.append(
            {
                "object": best["object"][n] == label,
                "style": best["style"][n] == label,
                "colour": best["colour"][n] == label,
                "scene": best["object"][n] == SCENES.get(label),
                "unseen pair": best["object"][n] == obj and best["style"][n] == style,
                "two": top[n] == {obj, style},
            }[group]
        )
    return found


def on_stream(session: Session, work: Callable[[], T]) -> T:
    """Do the work on a stream of its own, where there is a GPU."""
    if session.device == "cpu":
        return work()
    with torch.cuda.stream(torch.cuda.Stream()):  # type: ignore[no-untyped-call]
        return work()


def guarded(session: Session, name: str, least: float, work: Callable[[], None]) -> None:
    """Do a training unless there is no time for it; what goes wrong is said and stops no other."""
    if session.left < least and not session.tiny:
        print(f"{name}: not begun, {session.left:.0f} s left and {least:.0f} needed", flush=True)
        return
    try:
        on_stream(session, work)
        print(f"{time.monotonic() - session.began:6.0f} s  {name}: done", flush=True)
    except Exception:
        print(f"{name}: failed\n{traceback.format_exc()}", flush=True)
        if not session.larger_towers.done() and name == "emoji-64":
            session.larger_towers.set_exception(RuntimeError("no larger towers"))
        if time.monotonic() - session.began < session.strict:
            os._exit(3)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--all", action="store_true", help="train everything, in the order of its worth")
    parser.add_argument("--only", nargs="*", default=[], help="names of trainings, instead of all")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--minutes", type=float, default=9.0)
    parser.add_argument("--out", type=Path, required=True, help="folder of what is written, at most eight files")
    parser.add_argument("--work", type=Path, help="folder of checkpoints; by default beside `out`")
    parser.add_argument("--together", type=int, default=5, help="trainings at the same time")
    parser.add_argument("--least", type=float, default=150.0, help="seconds below which an oracle does not begin")
    parser.add_argument("--seeds", type=int, default=10, help="pictures of each prompt of a card")
    parser.add_argument("--strict", type=float, default=0.0, help="seconds in which one failure ends all")
    parser.add_argument("--tiny", action="store_true", help="as small as everything can be")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    work = options.work or options.out.with_name(options.out.name + "-work")
    torch.set_num_threads(1)
    session = Session(
        options.out,
        work,
        options.device,
        time.monotonic() + 60 * options.minutes,
        options.tiny,
        1 if options.tiny else options.seeds,
        options.strict,
    )
    jobs: dict[str, tuple[float, Callable[[], None]]] = {
        "emoji-64": (0, partial(larger, session)),
        "emoji-mmdit": (0, partial(transformer, session)),
        "without-church-0": (0, partial(oracle, session, "church", False, 0, True)),
        "unnamed-church-0": (0, partial(oracle, session, "church", True, 0, True)),
    }
    for seed, concept in ((0, "ink"), (1, "church"), (2, "church"), (1, "ink"), (2, "ink")):
        for unnamed in (False, True):
            name = f"{'unnamed' if unnamed else 'without'}-{concept}-{seed}"
            jobs[name] = (options.least, partial(oracle, session, concept, unnamed, seed, False))
    jobs["whole-0"] = (options.least, partial(whole, session))
    if "emoji-mmdit" in options.only and "emoji-64" not in options.only:
        parser.error("emoji-mmdit takes its second text tower from emoji-64: name both")
    chosen = {name: job for name, job in jobs.items() if options.all or name in options.only}
    if not options.tiny:
        last = threading.Timer(session.left + GRACE, os._exit, [0])
        last.daemon = True
        last.start()
    with ThreadPoolExecutor(options.together) as pool:
        for name, (least, job) in chosen.items():
            pool.submit(guarded, session, name, least, job)


if __name__ == "__main__":
    main()
