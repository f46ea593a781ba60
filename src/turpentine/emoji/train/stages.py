"""The stages of the embedded model's training, one after another, each resumable after a kill."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import nn

from turpentine.core.atomic_files import write_whole
from turpentine.core.errors import BadArgument
from turpentine.core.hashing import digest_tensor
from turpentine.core.parts import RECORDS, TENSORS, Parts
from turpentine.emoji.captions import HARD, WORLD, draw
from turpentine.emoji.judge_network import JudgeNet
from turpentine.emoji.towers import Towers, text_config
from turpentine.emoji.train import autoencoder
from turpentine.emoji.train import denoiser as unet
from turpentine.emoji.train import judge_stage as judge
from turpentine.emoji.train import towers_stage as towers
from turpentine.emoji.train.denoiser import LatentCache
from turpentine.emoji.train.loop import Loss, StageRun
from turpentine.emoji.train.oracle import Oracle
from turpentine.emoji.train.presets import Preset, Stage

Say = Callable[[str], None]

_DENOISER = (("unet", WORLD), ("finish", HARD))
"""The denoiser's stages, by their names in a preset, and what each is shown."""


class WorldTraining:
    """The training of one preset in one folder; a stage that is done is read back, not trained again.

    Args:
        preset: Sizes and schedules.
        folder: For checkpoints, logs and the trained parts.
        say: Receives progress, a line at a time.
        device: Where to train.
        seed: Of initial weights and pictures.
        oracle: The world to train the denoiser in; None for the whole world.

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
    ) -> None:
        self.preset, self.folder, self.say, self.device, self.seed = preset, folder, say, device, seed
        self.oracle = oracle
        folder.mkdir(parents=True, exist_ok=True)
        self._claim()
        self.weights = Parts(folder, ["weights", self._settings()], TENSORS)

    def autoencoder(self) -> AutoencoderKL:
        """Return the trained autoencoder; its `scaling_factor` is set by `unet`."""
        p = self.preset
        torch.manual_seed(self.seed)
        vae = autoencoder.build(p.vae_channels, p.vae_layers, p.size)
        self._train("autoencoder", vae, p.autoencoder, lambda: autoencoder.loss(vae, p.autoencoder.batch, p.size))
        return vae

    def towers(self) -> Towers:
        """Return the trained image and text towers."""
        p = self.preset
        torch.manual_seed(self.seed)
        tokenizer = towers.build_tokenizer(p.vocabulary)
        both = Towers(tokenizer, text_config(tokenizer, p.text_width, p.text_layers, p.text_heads))
        self._train("towers", both, p.towers, lambda: towers.loss(both, p.towers.batch, p.size))
        return both

    def unet(self, vae: AutoencoderKL, both: Towers, scaling_factor: float | None = None) -> UNet2DConditionModel:
        """Return the denoiser, trained in two stages, and set the autoencoder's `scaling_factor`.

        Args:
            vae: The trained autoencoder.
            both: The trained towers.
            scaling_factor: Of the latents; None for the one that gives them unit variance.
        """
        p = self.preset
        torch.manual_seed(self.seed)
        denoiser = unet.build(p.unet_channels, p.unet_heads, p.text_width, p.size // 4, bf16=p.unet.schedule.bf16)
        if scaling_factor is None:
            parts = Parts(self.folder, ["scaling factor", self._settings()], RECORDS)
            scaling_factor = parts.part("latents", lambda: unet.scaling_factor(self._latents(0, vae, both)))
        for number, (name, _) in enumerate(_DENOISER):
            stage: Stage = getattr(p, name)
            latents = partial(self._latents, number, vae, both)
            self._train(name, denoiser, stage, partial(_denoiser_loss, denoiser, latents, scaling_factor, stage.batch))
        vae.register_to_config(scaling_factor=scaling_factor)
        return denoiser

    def judge(self, vae: AutoencoderKL) -> JudgeNet:
        """Return the trained and calibrated judge."""
        p = self.preset
        torch.manual_seed(self.seed)
        net = JudgeNet()
        self._train("judge", net, p.judge, lambda: judge.loss(net, vae, p.judge.batch, p.size))
        judge.calibrate(net, vae, p.size)
        return net

    def _latents(self, number: int, vae: AutoencoderKL, both: Towers) -> LatentCache:
        """Return the encoded pictures of one of the denoiser's stages, from the folder if they were made before."""
        p, (name, mixture) = self.preset, _DENOISER[number]
        rng = np.random.default_rng((self.seed, 0xCAC4E, number))
        source = draw if self.oracle is None else self.oracle.draw
        made_by = [digest_tensor(weight) for part in (vae, both) for weight in part.parameters()]
        parts = Parts(self.folder, ["latents", self._settings(), made_by], TENSORS)
        return LatentCache(
            **parts.part(
                name, lambda: vars(unet.cache(vae, both, p.cached_pictures, p.size, rng, self.say, mixture, source))
            )
        )

    def _claim(self) -> None:
        """Write the settings into the folder, or check that they are those in it."""
        settings = self._settings()
        path = self.folder / "recipe.json"
        if path.exists() and json.loads(path.read_text()) != settings:
            raise BadArgument(f"{self.folder} holds a training with other settings: choose another folder.")
        with write_whole(path) as aside:
            aside.write_text(json.dumps(settings, indent=1))

    def _settings(self) -> dict[str, object]:
        oracle = {} if self.oracle is None else {"oracle": asdict(self.oracle)}
        settings: dict[str, object] = json.loads(json.dumps({"seed": self.seed, **asdict(self.preset), **oracle}))
        return settings

    def _train(self, name: str, module: nn.Module, stage: Stage, loss: Callable[[], Loss]) -> None:
        """Give a module its trained weights, from the folder if this stage is done."""
        module.to(self.device)
        weights = self.weights.get(name)
        if weights is None:
            StageRun(name, module, stage.schedule, self.folder).train(loss(), self.say)
            self.weights.put(name, dict(module.named_parameters()))
            return
        with torch.no_grad():
            for key, parameter in module.named_parameters():
                parameter.copy_(weights[key])
        module.eval()
        self.say(f"{name}: trained already")


def _denoiser_loss(
    denoiser: nn.Module, latents: Callable[[], LatentCache], scaling_factor: float, batch_size: int
) -> Loss:
    return unet.loss(denoiser, latents(), scaling_factor, batch_size)
