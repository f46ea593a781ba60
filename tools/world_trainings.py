"""The trainings of `train_worlds.py`: the larger model, the transformer, an oracle, and the whole recipe."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from multiprocessing import get_context

import torch
from diffusers import AutoencoderKL
from world_counts import facts_of, logs, pipeline_drawer, rates
from world_session import Session, on_stream

from turpentine.core.int8_rows import packed
from turpentine.core.tensors import save_tensors
from turpentine.emoji import WEIGHTS
from turpentine.emoji.judge_network import load_judge
from turpentine.emoji.towers import Towers, load_towers
from turpentine.emoji.train import flow
from turpentine.emoji.train.assemble import assemble
from turpentine.emoji.train.oracle import Oracle
from turpentine.emoji.train.presets import PRESETS, Preset, Stage, TransformerPreset
from turpentine.emoji.train.retrain import retrain
from turpentine.emoji.train.stages import WorldTraining
from turpentine.emoji.train.transformer import pictures, train_transformer
from turpentine.emoji.train.update import building


def shrunk(preset: Preset) -> Preset:
    """Return the preset with small parts and a few small updates a stage."""
    stages = {name: shrunk_stage(getattr(preset, name)) for name in ("autoencoder", "towers", "judge")}
    return replace(
        shrunk_denoiser(preset), vae_channels=(8, 8, 8), text_width=32, text_layers=1, text_heads=2, **stages
    )


def shrunk_denoiser(preset: Preset) -> Preset:
    """Return the preset with a small denoiser, beside parts of full size."""
    stages = {name: shrunk_stage(getattr(preset, name)) for name in ("unet", "finish")}
    return replace(preset, cached_pictures=32, unet_channels=(16,) * 4, unet_heads=2, **stages)


def shrunk_stage(stage: Stage) -> Stage:
    """Return the stage with five small updates: on a GPU, the last are a graph."""
    return Stage(8, replace(stage.schedule, updates=5))


def timed(stage: Stage, seconds: float) -> Stage:
    """Return the stage with a longest time."""
    return replace(stage, schedule=replace(stage.schedule, seconds=round(seconds)))


def larger(session: Session) -> None:
    """Train the model of 64 px: towers beside the autoencoder, then the judge beside the denoiser."""
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
    training = world_training(session, name, preset, workers=5)
    with ThreadPoolExecutor(2) as beside:
        towers = beside.submit(on_stream, session, partial(larger_towers, session, training))
        vae = training.autoencoder()
        both = towers.result()
        judge = beside.submit(on_stream, session, partial(training.judge, vae))
        unet = training.unet(vae, both)
        trained_judge = judge.result()
    with building:
        assemble(vae, both, unet, trained_judge, training.folder / "weights")
    save_tensors(session.out / f"{name}.safetensors", packed(unet.state_dict()))
    parts = {
        f"{part}.{key}": value.half()
        for part, module in (("vae", vae), ("towers", both), ("judge", trained_judge))
        for key, value in module.state_dict().items()
    }
    save_tensors(session.out / f"{name}-parts.safetensors", parts)
    needed = {"scale": vae.config.scaling_factor, "tokenizer": both.tokenizer.backend_tokenizer.to_str()}
    session.record(name, {**needed, **facts_of(session, training.folder)})


def world_training(session: Session, name: str, preset: Preset, workers: int) -> WorldTraining:
    """Return a training in a folder of its name, which renders ahead unless all is tiny."""
    workers = 0 if session.tiny else workers
    training = WorldTraining(preset, session.work / name, session.printer(name), device=session.device, workers=workers)
    training.render_ahead()
    return training


def larger_towers(session: Session, training: WorldTraining) -> Towers:
    """Train the larger world's towers, which the transformer waits for."""
    towers = training.towers()
    if session.device != "cpu":
        with building:
            torch.cuda.synchronize()  # another stream will read them
    session.larger_towers.set_result(towers)
    return towers


def transformer(session: Session) -> None:
    """Train the transformer, beside the shipped autoencoder, the shipped text tower and the larger world's."""
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
        session.printer(name),
        vae,
        pair,
        device=session.device,
        chunks=lambda number: ahead[number].result(),
    )
    save_tensors(session.out / f"{name}.safetensors", packed(network.state_dict()))
    pipe = flow.pipeline(vae, (pair[0].text, pair[1].text), (pair[0].tokenizer, pair[1].tokenizer), network)
    session.record(name, {**rates(session, pipeline_drawer(session, pipe)), **logs(session.work / name)})


def all_chunks(preset: TransformerPreset, number: int) -> list:  # type: ignore[type-arg]
    """Render one stage's pictures, in a process of its own."""
    return list(pictures(preset, 0, number))


def oracle(session: Session, concept: str, unnamed: bool, seed: int, keep: bool) -> None:
    """Train a denoiser in a world without a concept."""
    name = oracle_name(concept, unnamed, seed)
    preset = shrunk_denoiser(PRESETS["gpu"]) if session.tiny else PRESETS["gpu"]
    folder = session.work / name
    unet = retrain(
        Oracle(concept, unnamed),
        preset,
        folder,
        session.printer(name),
        device=session.device,
        seed=seed,
        ahead=not session.tiny,
    )
    if keep:
        save_tensors(session.out / f"{name}.safetensors", packed(unet.state_dict()))
    session.record(name, facts_of(session, folder))


def oracle_name(concept: str, unnamed: bool, seed: int) -> str:
    """Return the name of an oracle's training."""
    return f"{'unnamed' if unnamed else 'without'}-{concept}-{seed}"


def whole(session: Session) -> None:
    """Train the whole recipe of the shipped model, from nothing."""
    name = "whole-0"
    preset = shrunk(PRESETS["gpu"]) if session.tiny else PRESETS["gpu"]
    training = world_training(session, name, preset, workers=4)
    with ThreadPoolExecutor(1) as beside:
        towers = beside.submit(on_stream, session, training.towers)
        vae = training.autoencoder()
        both = towers.result()
    unet = training.unet(vae, both)
    with building:
        assemble(vae, both, unet, load_judge(), training.folder / "weights")
    session.record(name, facts_of(session, training.folder))
