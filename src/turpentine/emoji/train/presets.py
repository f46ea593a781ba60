"""Presets: the sizes of the embedded model, and how long each of its stages trains."""

from __future__ import annotations

from dataclasses import dataclass, replace

from turpentine.emoji.captions import HARD, LARGER, LARGER_HARD, WORLD, Mixture
from turpentine.emoji.train.loop import StageSchedule


@dataclass(frozen=True)
class Stage:
    """One stage's batch size and schedule."""

    batch: int
    schedule: StageSchedule


@dataclass(frozen=True)
class Preset:
    """Sizes of the parts, and how each is trained. `size` is the picture's side in pixels."""

    size: int
    vae_channels: tuple[int, ...]
    vae_layers: int
    vocabulary: int
    text_width: int
    text_layers: int
    text_heads: int
    unet_channels: tuple[int, ...]
    unet_heads: int
    cached_pictures: int
    """For each of the denoiser's stages; drawn by as many generators as there are `parts`."""
    autoencoder: Stage
    towers: Stage
    judge: Stage
    unet: Stage
    finish: Stage
    """The denoiser's second stage, from its average, on fresh pictures of the harder mixture."""
    mixture: Mixture = WORLD
    harder: Mixture = HARD
    parts: int = 1

    @property
    def is_larger(self) -> bool:
        """Whether this is the larger world, of coloured objects and relations."""
        return "tinted" in self.mixture.kinds


CPU = Preset(
    size=32,
    vae_channels=(24, 32, 96),
    vae_layers=1,
    vocabulary=320,
    text_width=160,
    text_layers=4,
    text_heads=4,
    unet_channels=(64, 96, 128, 160),
    unet_heads=8,
    cached_pictures=90_000,
    autoencoder=Stage(32, StageSchedule(updates=6000, lr=3e-3, muon_lr=0.02)),
    towers=Stage(128, StageSchedule(updates=2600, lr=2e-3, muon_lr=0.015, bf16=True)),
    judge=Stage(64, StageSchedule(updates=2500, lr=2e-3, muon_lr=0.02)),
    unet=Stage(128, StageSchedule(updates=3600, lr=1e-3, muon_lr=0.015, ema=0.998, bf16=True)),
    finish=Stage(128, StageSchedule(updates=4800, lr=7e-4, muon_lr=0.01, ema=0.999, seed=1, bf16=True)),
)

GPU = replace(
    CPU,
    towers=Stage(128, StageSchedule(updates=2600, lr=2e-3, muon_lr=0.015, checkpoint_every=2600)),
    **{
        name: replace(stage, schedule=replace(stage.schedule, checkpoint_every=2400))
        for name in ("autoencoder", "judge", "unet", "finish")
        for stage in (getattr(CPU, name),)
    },
)
"""The same recipe with fewer checkpoints, and towers in fp32."""

LARGER_WORLD = replace(
    GPU,
    size=64,
    mixture=LARGER,
    harder=LARGER_HARD,
    vae_channels=(32, 64, 96),
    vocabulary=384,
    cached_pictures=120_000,
    parts=6,
    autoencoder=Stage(64, StageSchedule(updates=6000, lr=3e-3, muon_lr=0.02, bf16=True, checkpoint_every=6000)),
    towers=Stage(128, StageSchedule(updates=2600, lr=2e-3, muon_lr=0.015, checkpoint_every=2600)),
    unet=Stage(128, StageSchedule(updates=8000, lr=1e-3, muon_lr=0.015, ema=0.999, bf16=True, checkpoint_every=4000)),
    finish=Stage(
        128, StageSchedule(updates=12_000, lr=7e-4, muon_lr=0.01, ema=0.9995, seed=1, bf16=True, checkpoint_every=4000)
    ),
)


def with_lessons(preset: Preset, begin: int | None = None, finish: int | None = None) -> Preset:
    """Return the preset with other numbers of updates in the denoiser's two stages.

    Args:
        preset: The preset.
        begin: Updates of the first, None to leave them.
        finish: Updates of the second, likewise.

    Example:
        >>> shorter = with_lessons(CPU, finish=1800)
        >>> shorter.finish.schedule.updates, shorter.unet == CPU.unet
        (1800, True)
    """
    first, second = (
        stage if updates is None else replace(stage, schedule=replace(stage.schedule, updates=updates))
        for stage, updates in ((preset.unet, begin), (preset.finish, finish))
    )
    return replace(preset, unet=first, finish=second)


@dataclass(frozen=True)
class TransformerPreset:
    """Sizes of the transformer beside the shipped autoencoder, and how it is trained."""

    layers: int = 6
    heads: int = 8
    head_width: int = 32
    cached_pictures: int = 90_000
    flow: Stage = Stage(
        128, StageSchedule(updates=10_000, lr=1e-3, muon_lr=0.015, ema=0.999, bf16=True, checkpoint_every=5000)
    )
    finish: Stage = Stage(
        128,
        StageSchedule(updates=10_000, lr=7e-4, muon_lr=0.01, ema=0.9995, seed=1, bf16=True, checkpoint_every=5000),
    )


PRESETS = {"cpu": CPU, "gpu": GPU, "64": LARGER_WORLD}
"""Two CPU cores; one GPU; one GPU and pictures of 64 px, whose latents are 16 × 16, of the larger world."""
