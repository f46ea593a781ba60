"""Write the trained parts as one diffusers folder in fp16, with the towers and the judge in folders of their own."""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline, UNet2DConditionModel
from transformers import CLIPTextModel

from turpentine.core.tensors import save_tensors
from turpentine.emoji.judge_network import FILE as JUDGE_FILE
from turpentine.emoji.judge_network import JudgeNet
from turpentine.emoji.towers import FILE as TOWERS_FILE
from turpentine.emoji.towers import Towers
from turpentine.emoji.train.denoiser import scheduler

SHARD = "12MB"


def pipeline(vae: AutoencoderKL, both: Towers, unet: UNet2DConditionModel) -> StableDiffusionPipeline:
    """Return the parts as a `StableDiffusionPipeline` in fp16."""
    text = CLIPTextModel(both.text.config)
    text.load_state_dict(both.text.text_model.state_dict())
    # A tokenizer remembers its last padding, and would be written with it.
    both.tokenizer.backend_tokenizer.no_padding()
    both.tokenizer.backend_tokenizer.no_truncation()
    pipe = StableDiffusionPipeline(
        vae=vae,
        text_encoder=text,
        tokenizer=both.tokenizer,
        unet=unet,
        scheduler=scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    return pipe.to(torch.float16)


def assemble(vae: AutoencoderKL, both: Towers, unet: UNet2DConditionModel, judge: JudgeNet, folder: Path) -> None:
    """Write everything that ships into `folder`, in fp16; the judge and the towers apart from the pipeline."""
    for name, module, file in (("judge", judge, JUDGE_FILE), ("towers", both, TOWERS_FILE)):
        (folder / name).mkdir(parents=True, exist_ok=True)
        weights = {
            key: value.detach().half()
            for key, value in module.state_dict().items()
            if not key.startswith("text.") or key == "text.text_projection.weight"
        }
        save_tensors(folder / name / file, weights)
    pipeline(vae, both, unet).save_pretrained(folder, safe_serialization=True, max_shard_size=SHARD)
