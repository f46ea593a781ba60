"""The stages of the embedded model's training, one after another, each resumable after a kill."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors.torch import load_file
from torch import nn

from turpentine.core.atomic_files import write_whole
from turpentine.core.errors import BadArgument
from turpentine.core.hashing import digest_tensor
from turpentine.core.parts import TENSORS, Parts
from turpentine.core.tensors import save_tensors
from turpentine.emoji.captions import HARD, WORLD, Mixture, draw
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


class WorldTraining:
    """The training of one preset in one folder; a stage that is done is read back, not trained again.

    Args:
        preset: Sizes and schedules.
        folder: For checkpoints, logs and the trained parts.
        say: Receives progress, a line at a time.
        device: Where to train.
        seed: Of initial weights and pictures.
        oracle: The world to train the denoiser in; None for the whole world.

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

    def autoencoder(self) -> AutoencoderKL:
        """Return the trained autoencoder; its `scaling_factor` is set by `unet`."""
        p = self.preset
        torch.manual_seed(self.seed)
        vae = autoencoder.build(p.vae_channels, p.vae_layers, p.size)
        self._train("autoencoder", vae, p.autoencoder, autoencoder.loss(vae, p.autoencoder.batch, p.size))
        return vae

    def towers(self) -> Towers:
        """Return the trained image and text towers."""
        p = self.preset
        torch.manual_seed(self.seed)
        tokenizer = towers.build_tokenizer(p.vocabulary)
        both = Towers(tokenizer, text_config(tokenizer, p.text_width, p.text_layers, p.text_heads))
        self._train("towers", both, p.towers, towers.loss(both, p.towers.batch, p.size))
        return both

    def unet(self, vae: AutoencoderKL, both: Towers) -> UNet2DConditionModel:
        """Return the denoiser, trained in two stages, and set the autoencoder's `scaling_factor`."""
        p = self.preset
        torch.manual_seed(self.seed)
        denoiser = unet.build(p.unet_channels, p.unet_heads, p.text_width, p.size // 4, bf16=p.unet.schedule.bf16)
        latents_file = self.folder / "latents.json"
        for number, (name, stage, mixture) in enumerate((("unet", p.unet, WORLD), ("finish", p.finish, HARD))):
            if self._done(name).exists():
                self._read(name, denoiser.to(self.device))
                continue
            cached = self._latents(number, name, mixture, vae, both)
            if not latents_file.exists():
                with write_whole(latents_file) as path:
                    path.write_text(json.dumps({"scaling_factor": unet.scaling_factor(cached)}))
            scaling_factor = json.loads(latents_file.read_text())["scaling_factor"]
            self._train(name, denoiser, stage, unet.loss(denoiser, cached, scaling_factor, stage.batch))
        vae.register_to_config(scaling_factor=json.loads(latents_file.read_text())["scaling_factor"])
        return denoiser

    def _latents(self, number: int, name: str, mixture: Mixture, vae: AutoencoderKL, both: Towers) -> LatentCache:
        """Return a stage's encoded pictures, from the folder if they were made before."""
        p = self.preset
        rng = np.random.default_rng((self.seed, 0xCAC4E, number))
        source = draw if self.oracle is None else self.oracle.draw
        made_by = [digest_tensor(weight) for part in (vae, both) for weight in part.parameters()]
        parts = Parts(self.folder, ["latents", self._settings(), made_by], TENSORS)
        return LatentCache(
            **parts.part(
                name, lambda: vars(unet.cache(vae, both, p.cached_pictures, p.size, rng, self.say, mixture, source))
            )
        )

    def judge(self, vae: AutoencoderKL) -> JudgeNet:
        """Return the trained and calibrated judge."""
        p = self.preset
        torch.manual_seed(self.seed)
        net = JudgeNet()
        self._train("judge", net, p.judge, judge.loss(net, vae, p.judge.batch, p.size))
        judge.calibrate(net, vae, p.size)
        return net

    def _claim(self) -> None:
        """Write the settings into the folder, or check that they are those in it."""
        settings = self._settings()
        path = self.folder / "recipe.json"
        if path.exists() and json.loads(path.read_text()) != settings:
            raise BadArgument(f"{self.folder} holds a training with other settings: choose another folder.")
        with write_whole(path) as partial:
            partial.write_text(json.dumps(settings, indent=1))

    def _settings(self) -> dict[str, object]:
        oracle = {} if self.oracle is None else {"oracle": asdict(self.oracle)}
        settings: dict[str, object] = json.loads(json.dumps({"seed": self.seed, **asdict(self.preset), **oracle}))
        return settings

    def _train(self, name: str, module: nn.Module, stage: Stage, loss: Loss) -> None:
        module.to(self.device)
        if self._done(name).exists():
            self._read(name, module)
            return
        StageRun(name, module, stage.schedule, self.folder).train(loss, self.say)
        save_tensors(self._done(name), dict(module.named_parameters()))

    def _read(self, name: str, module: nn.Module) -> None:
        weights = load_file(self._done(name))
        with torch.no_grad():
            for key, parameter in module.named_parameters():
                parameter.copy_(weights[key])
        module.eval()
        self.say(f"{name}: trained already, read from {self._done(name).name}")

    def _done(self, name: str) -> Path:
        return self.folder / f"{name}.safetensors"
