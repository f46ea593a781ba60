"""The stages of the embedded model's training, one after another, each resumable after a kill."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import nn

from turpentine.core.atomic_files import write_text_whole
from turpentine.core.errors import BadArgument
from turpentine.core.hashing import digest_tensor
from turpentine.core.parts import RECORDS, TENSORS, Parts, Tensors
from turpentine.emoji.captions import draw
from turpentine.emoji.judge_network import ANSWERS, LARGER_ANSWERS, JudgeNet
from turpentine.emoji.towers import Towers, text_config
from turpentine.emoji.train import autoencoder
from turpentine.emoji.train import denoiser as unet
from turpentine.emoji.train import judge_stage as judge
from turpentine.emoji.train import towers_stage as towers
from turpentine.emoji.train.denoiser import Chunk, LatentCache
from turpentine.emoji.train.loop import StageRun
from turpentine.emoji.train.oracle import Oracle
from turpentine.emoji.train.presets import Preset, Stage
from turpentine.emoji.train.update import Loss, building

Say = Callable[[str], None]

_DENOISER = ("unet", "finish")
"""The denoiser's stages, by their names in a preset."""


class WorldTraining:
    """The training of one preset in one folder; a stage that is done is read back, not trained again.

    Args:
        preset: Sizes and schedules.
        folder: For checkpoints, logs and the trained parts.
        say: Receives progress, a line at a time.
        device: Where to train.
        seed: Of initial weights and pictures.
        oracle: The world to train the denoiser in; None for the whole world.
        workers: Processes that render pictures ahead, for a device that would wait for them; 0 renders when needed.

    Attributes:
        weights: Those of each finished stage, by its name.

    Raises:
        BadArgument: The folder holds a training with other settings.
    """

    def __init__(
        self,
        preset: Preset,
        folder: Path,
        say: Say,
        *,
        device: str = "cpu",
        seed: int = 0,
        oracle: Oracle | None = None,
        workers: int = 0,
    ) -> None:
        self.preset, self.folder, self.say, self.device, self.seed = preset, folder, say, device, seed
        self.oracle, self.workers = oracle, workers
        folder.mkdir(parents=True, exist_ok=True)
        self._claim()
        self.weights = Parts(folder, ["weights", self._settings()], TENSORS)
        self._ahead: dict[int, list[Future[list[Chunk]]]] = {}

    def render_ahead(self) -> None:
        """Begin to render the denoiser's pictures in processes of their own, one a stage."""
        parts = [(number, part) for number in range(len(_DENOISER)) for part in range(self.preset.parts)]
        pool = ProcessPoolExecutor(min(len(parts), 6), get_context("forkserver"))
        for number, part in parts:
            self._ahead.setdefault(number, []).append(pool.submit(_all, self._rendered(number, part)))
        pool.shutdown(wait=False)

    def autoencoder(self) -> AutoencoderKL:
        """Return the trained autoencoder; its `scaling_factor` is set by `unet`."""
        p = self.preset
        with self._seeded():
            vae = autoencoder.build(p.vae_channels, p.vae_layers, p.size)
        self._train(
            "autoencoder", vae, p.autoencoder, lambda: autoencoder.loss(vae, p.autoencoder.batch, p.size, p.mixture)
        )
        return vae

    def towers(self) -> Towers:
        """Return the trained image and text towers."""
        p = self.preset
        tokenizer = towers.build_tokenizer(p.vocabulary, mixture=p.mixture)
        with self._seeded():
            both = Towers(tokenizer, text_config(tokenizer, p.text_width, p.text_layers, p.text_heads))
        self._train("towers", both, p.towers, lambda: towers.loss(both, p.towers.batch, p.size, p.mixture))
        return both

    def unet(self, vae: AutoencoderKL, both: Towers, scaling_factor: float | None = None) -> UNet2DConditionModel:
        """Return the denoiser, trained in two stages, and set the autoencoder's `scaling_factor`.

        Args:
            vae: The trained autoencoder.
            both: The trained towers.
            scaling_factor: Of the latents; None for the one that gives them unit variance.
        """
        p = self.preset
        written_out = p.unet.schedule.bf16 and self.device == "cpu"
        with self._seeded():
            denoiser = unet.build(p.unet_channels, p.unet_heads, p.text_width, p.size // 4, written_out=written_out)
        if scaling_factor is None:
            parts = Parts(self.folder, ["scaling factor", self._settings()], RECORDS)
            scaling_factor = parts.part("latents", lambda: unet.scaling_factor(self._latents(0, vae, both)))
        for number, name in enumerate(_DENOISER):
            stage: Stage = getattr(p, name)
            latents = partial(self._latents, number, vae, both)
            loss = partial(_denoiser_loss, denoiser, latents, scaling_factor, stage.batch)
            self._train(name, denoiser, stage, loss, workers=0)
        vae.register_to_config(scaling_factor=scaling_factor)
        return denoiser

    def judge(self, vae: AutoencoderKL) -> JudgeNet:
        """Return the trained and calibrated judge."""
        p = self.preset
        with self._seeded():
            net = JudgeNet(LARGER_ANSWERS if p.is_larger else ANSWERS)
        disturbing = copy.deepcopy(vae).cpu()
        self._train("judge", net, p.judge, lambda: judge.loss(net, disturbing, p.judge.batch, p.size, p.mixture))
        judge.calibrate(net, disturbing, p.size, mixture=p.mixture)
        return net

    def _latents(self, number: int, vae: AutoencoderKL, both: Towers) -> LatentCache:
        """Return the encoded pictures of one of the denoiser's stages, from the folder if they were made before."""
        made_by = [digest_tensor(weight) for part in (vae, both) for weight in part.parameters()]
        parts = Parts(self.folder, ["latents", self._settings(), made_by], TENSORS)
        return LatentCache(
            **parts.part(
                _DENOISER[number], lambda: vars(unet.cache(vae, unet.states(both), self._chunks(number), self.say))
            )
        )

    def _chunks(self, number: int) -> Iterator[Chunk]:
        """Yield the pictures of one of the denoiser's stages."""
        for part in range(self.preset.parts):
            yield from self._ahead[number][part].result() if self._ahead else self._rendered(number, part)()

    def _rendered(self, number: int, part: int) -> Callable[[], Iterator[Chunk]]:
        """Return what renders one part of the pictures of one of the denoiser's stages."""
        p = self.preset
        rng = np.random.default_rng((self.seed, 0xCAC4E, number, *([part] if part else [])))
        source = draw if self.oracle is None else self.oracle.draw
        mixture = (p.mixture, p.harder)[number]
        return partial(unet.rendered, rng, p.cached_pictures // p.parts, p.size, mixture, source)

    @contextmanager
    def _seeded(self) -> Iterator[None]:
        """Build a network from this training's seed, whatever other threads do."""
        with building:
            torch.manual_seed(self.seed)
            yield

    def _claim(self) -> None:
        """Write the settings into the folder, or check that they are those in it."""
        settings = self._settings()
        path = self.folder / "recipe.json"
        if path.exists() and json.loads(path.read_text()) != settings:
            raise BadArgument(f"{self.folder} holds a training with other settings: choose another folder.")
        write_text_whole(path, json.dumps(settings, indent=1))

    def _settings(self) -> dict[str, object]:
        oracle = {} if self.oracle is None else {"oracle": asdict(self.oracle)}
        settings: dict[str, object] = json.loads(json.dumps({"seed": self.seed, **asdict(self.preset), **oracle}))
        return settings

    def _train(
        self, name: str, module: nn.Module, stage: Stage, loss: Callable[[], Loss], workers: int | None = None
    ) -> None:
        module.to(self.device)
        run = StageRun(name, module, stage.schedule, self.folder, self.workers if workers is None else workers)
        train_stage(run, loss, self.weights, self.say)


def train_stage(run: StageRun, loss: Callable[[], Loss], finished: Parts[Tensors], say: Say) -> None:
    """Give a module its trained weights, from the folder if its stage is done.

    Args:
        run: The stage.
        loss: Makes its loss, once the stage has to run.
        finished: The weights of stages that are done, by name.
        say: Receives progress, a line at a time.
    """
    weights = finished.get(run.name)
    if weights is None:
        run.train(loss(), say)
        finished.put(run.name, dict(run.module.named_parameters()))
        return
    with torch.no_grad():
        for key, parameter in run.module.named_parameters():
            parameter.copy_(weights[key])
    run.module.eval()
    say(f"{run.name}: trained already")


def _all(rendered: Callable[[], Iterator[Chunk]]) -> list[Chunk]:
    return list(rendered())


def _denoiser_loss(
    denoiser: nn.Module, latents: Callable[[], LatentCache], scaling_factor: float, batch_size: int
) -> Loss:
    return unet.loss(denoiser, latents(), scaling_factor, batch_size)
