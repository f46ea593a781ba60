"""Models that do not fit into memory are refused before any of their weights is read."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from tiny import tiny_sd1

from turpentine.cli.app import run
from turpentine.core.errors import NoMemory
from turpentine.models import load
from turpentine.models.loading.memory import check_fits, free_memory, numbers_in

CPU, GPU = torch.device("cpu"), torch.device("cuda:0")


def write_vast(path: Path, *empty: str) -> None:
    """Write a file whose header speaks of 2 TB, of which the disk holds none, and of weights without numbers."""
    size = 2**41
    tensors = {"model.diffusion_model.w": {"dtype": "F16", "shape": [2**20, 2**20], "data_offsets": [0, size]}}
    tensors |= {name: {"dtype": "F16", "shape": [0], "data_offsets": [size, size]} for name in empty}
    header = json.dumps(tensors).encode()
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(header)) + header)
        file.truncate(8 + len(header) + size)


@pytest.fixture
def vast(tmp_path: Path) -> Path:
    """A folder of a tiny model whose denoiser is vast."""
    folder = tmp_path / "vast"
    tiny_sd1().save_pretrained(folder)
    write_vast(folder / "unet" / "diffusion_pytorch_model.safetensors")
    return folder


def test_numbers_are_counted_by_headers(tmp_path: Path) -> None:
    tensors = {"a": torch.zeros(3, 4, dtype=torch.float16), "b": torch.zeros(()), "c": torch.zeros(5)}
    save_file(tensors, tmp_path / "some.safetensors")
    write_vast(tmp_path / "vast.safetensors")
    assert numbers_in([tmp_path / "some.safetensors"]) == 12 + 1 + 5
    assert numbers_in(tmp_path.glob("*.safetensors")) == 18 + 2**40


def test_a_model_that_does_not_fit_is_refused_unread_as_a_folder_and_as_a_file(
    vast: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(NoMemory, match=r"vast take 4\.4 TB in float32, and .* are free on cpu: close other programs"):
        load(vast, device="cpu")
    write_vast(tmp_path / "vast.safetensors", "first_stage_model.w", "cond_stage_model.w")
    with pytest.raises(NoMemory, match=r"vast\.safetensors take 2\.2 TB in float16"):
        load(tmp_path / "vast.safetensors", device="cpu", dtype="float16")
    assert run(["generate", "a church", "--model", str(vast), "--device", "cpu", "--dtype", "fp16"]) == 2
    assert "take 2.2 TB in float16" in " ".join(capsys.readouterr().err.split())


def test_variants_of_one_network_count_once(vast: Path) -> None:
    """Of the denoiser in two number formats one is read."""
    write_vast(vast / "unet" / "diffusion_pytorch_model.fp16.safetensors")
    with pytest.raises(NoMemory, match=r"take 4\.4 TB in float32"):
        load(vast, device="cpu")


@pytest.mark.parametrize(
    ("free", "why"),
    [
        ((3, 9), r"4\.0 GB in float32, and 3\.0 GB of memory are free on cpu: .*\(dtype fp16\), which takes 2\.0 GB"),
        ((9, 3), r"3\.0 GB of memory are free on cuda:0: load it in half precision"),
        ((9, 1), r"1\.0 GB of memory are free on cuda:0: close other programs, or take a smaller model"),
    ],
)
def test_each_memory_is_asked_and_the_way_out_is_one_that_fits(free: tuple[int, int], why: str) -> None:
    places = [(place, 10**9 * each) for place, each in zip((CPU, GPU), free, strict=True)]
    with pytest.raises(NoMemory, match=why):
        check_fits("big", 10**9, torch.float32, places)
    check_fits("big", 10**9, torch.float32, [(CPU, 4 * 10**9), (GPU, 4 * 10**9)])


def test_half_precision_is_offered_to_none_that_has_it() -> None:
    with pytest.raises(NoMemory, match=r"2\.0 GB in bfloat16, and 1\.0 GB of memory are free on cpu: close other"):
        check_fits("big", 10**9, torch.bfloat16, [(CPU, 10**9)])


def test_the_main_memory_has_some() -> None:
    assert free_memory(CPU) > 2**20


def test_what_torch_keeps_on_a_gpu_to_give_it_out_again_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, size in (("memory_reserved", 700), ("memory_allocated", 500)):
        monkeypatch.setattr(torch.cuda, name, lambda device, size=size: size)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1000, 5000))
    assert free_memory(GPU) == 1200
