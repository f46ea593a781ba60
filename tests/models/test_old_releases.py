"""What older releases of transformers and diffusers read of an export; with themselves where they are given."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file
from tiny import tiny_sd1, tiny_sdxl
from transformers import CLIPTokenizer

import turpentine as tp
from turpentine.edits import LoRA, save_single_file
from turpentine.models import Model

OLD = "TURPENTINE_OLD_LIBRARIES"
"""The environment's variable with a folder that holds transformers 4 and diffusers 0.31, to be put before the new ones:
pip install --no-deps --target FOLDER transformers==4.46.3 diffusers==0.31.0 tokenizers==0.20.3 huggingface_hub==0.26.5
"""
TEXTS = ["a church", "A  Church, and a dog!", "zzyzx", ""]

READ = """
import json, sys
import torch
from transformers import CLIPTextModel, CLIPTokenizer
from diffusers import StableDiffusionPipeline
folder, texts = sys.argv[1], json.loads(sys.argv[2])
model, loading = CLIPTextModel.from_pretrained(folder + "/text_encoder", output_loading_info=True)
tokenizer = CLIPTokenizer.from_pretrained(folder + "/tokenizer")
pipeline = StableDiffusionPipeline.from_pretrained(folder, safety_checker=None)
pipeline.set_progress_bar_config(disable=True)
single = StableDiffusionPipeline.from_single_file(folder + "/../one.safetensors", config=folder, safety_checker=None)
weight = sys.argv[3]
changed = {"single file": single.unet.get_parameter(weight).tolist()}
for name in ("lora", "kohya"):
    adapted = StableDiffusionPipeline.from_pretrained(folder, safety_checker=None)
    adapted.load_lora_weights(folder + "/..", weight_name=name + ".safetensors")
    adapted.fuse_lora()
    adapted.unload_lora_weights()
    changed[name] = adapted.unet.get_parameter(weight).tolist()
noise = torch.randn(1, 4, *[pipeline.unet.config.sample_size] * 2, generator=torch.Generator().manual_seed(3))
picture = pipeline(texts[0], latents=noise, num_inference_steps=2, output_type="np").images[0]
print(json.dumps({
    "missing": loading["missing_keys"],
    "tokens": [tokenizer(text).input_ids for text in texts],
    "picture": picture.tolist(),
    "changed": changed,
}))
"""


@pytest.mark.parametrize("build", [tiny_sd1, tiny_sdxl])
def test_the_text_encoders_have_the_level_that_older_releases_look_for(build: object, tmp_path: Path) -> None:
    model = Model(build())  # type: ignore[operator]
    model.save_pretrained(tmp_path / "m")
    for part in [name for name in model.components if name.startswith("text_encoder")]:
        names = load_file(tmp_path / "m" / part / "model.safetensors").keys()
        assert "text_model.embeddings.token_embedding.weight" in names
        assert {name.split(".")[0] for name in names} <= {"text_model", "text_projection"}
    assert tp.load(tmp_path / "m").fingerprint == model.fingerprint


def test_the_vocabulary_and_the_merges_are_the_tokenizers(tmp_path: Path) -> None:
    model = tp.load()
    model.save_pretrained(tmp_path / "m")
    folder = tmp_path / "m" / "tokenizer"
    merges = folder.joinpath("merges.txt").read_text(encoding="utf-8").splitlines()[1:]
    apart = CLIPTokenizer(
        vocab=json.loads((folder / "vocab.json").read_text(encoding="utf-8")),
        merges=[tuple(line.split()) for line in merges],
        pad_token="<|endoftext|>",
    )
    whole = CLIPTokenizer.from_pretrained(folder)
    for text in TEXTS:
        assert apart(text).input_ids == whole(text).input_ids


def test_older_releases_draw_the_same_picture(tmp_path: Path) -> None:
    libraries = os.environ.get(OLD)
    if not libraries:
        pytest.skip(f"did not run: {OLD} names no folder with transformers 4 and diffusers 0.31")
    model = tp.load()
    model.save_pretrained(tmp_path / "m")
    edit = tp.erase.UCE()(model, "church")
    with edit.on(model):
        save_single_file(model, tmp_path / "one.safetensors")
        edited = model.parameter(edit.names[0]).clone()
    for layout in ("diffusers", "kohya"):
        name = "kohya" if layout == "kohya" else "lora"
        LoRA.from_edits(model, [edit], rank=16).save(tmp_path / f"{name}.safetensors", layout)
    done = subprocess.run(
        [sys.executable, "-c", READ, str(tmp_path / "m"), json.dumps(TEXTS), edit.names[0].partition(".")[2]],
        env={**os.environ, "PYTHONPATH": libraries},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout.splitlines()[-1])
    assert seen["missing"] == [] and set(seen["changed"]) == {"single file", "lora", "kohya"}
    for name, weight in seen["changed"].items():
        assert np.abs(np.asarray(weight) - edited.numpy()).max() < 1e-5, name
    tokenizer = CLIPTokenizer.from_pretrained(tmp_path / "m" / "tokenizer")
    assert seen["tokens"] == [tokenizer(text).input_ids for text in TEXTS]
    pipeline = model.pipeline
    pipeline.set_progress_bar_config(disable=True)
    picture = pipeline(TEXTS[0], latents=model.noise([3]).cpu(), num_inference_steps=2, output_type="np").images[0]
    assert np.abs(np.asarray(seen["picture"]) - picture).max() < 1e-3
