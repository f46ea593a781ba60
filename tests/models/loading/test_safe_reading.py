"""No pickle is read, whatever the small files of a folder name; `tests/pickles.py` makes every reader of one raise."""

from __future__ import annotations

import importlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from pickles import READERS, PickleRead
from safetensors.torch import load_file, save_file
from tiny import tiny_sd1

from turpentine.core.errors import ModelNotFound, UnsafeFile
from turpentine.models import load
from turpentine.models.loading.safe_reading import check_names, shard_names

INDEXES = {
    "unet": "diffusion_pytorch_model.safetensors.index.json",
    "vae": "diffusion_pytorch_model.safetensors.index.json",
    "text_encoder": "model.safetensors.index.json",
}
ELSEWHERE = ("../../x.bin", "../x.safetensors", "/tmp/x.bin", "x.bin", "a/x.safetensors", "..\\x.safetensors", "", 7)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Stable Diffusion in a folder; shared, so leave it as it was."""
    path = tmp_path_factory.mktemp("model")
    tiny_sd1().save_pretrained(path)
    return path


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    """A copy to break, one folder below `tmp_path`."""
    return shutil.copytree(whole, tmp_path / "model")


def in_parts(part: Path, index: str, shard: Any, pickle: Path | None = None) -> None:
    """Replace a part's weights by an index that names one file, and write the weights there as a pickle."""
    (weights,) = part.glob("*.safetensors")
    tensors = load_file(weights)
    weights.unlink()
    if pickle is not None:
        torch.save(tensors, pickle)
    content = {"metadata": {"total_size": 1}, "weight_map": dict.fromkeys(tensors, shard)}
    (part / index).write_text(json.dumps(content))


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: f"{reader[0].__name__}.{reader[1]}")
def test_the_tripwire_is_set_on_every_reader(reader: Any, tmp_path: Path) -> None:
    torch.save({"x": torch.ones(1)}, tmp_path / "x.pt")
    with pytest.raises(PickleRead):
        getattr(*reader)(tmp_path / "x.pt")


@pytest.mark.parametrize("library", ["transformers.modeling_utils", "diffusers.models.model_loading_utils"])
def test_the_libraries_own_readers_meet_the_tripwire(library: str, tmp_path: Path) -> None:
    torch.save({"x": torch.ones(1)}, tmp_path / "x.bin")
    with pytest.raises(PickleRead):
        importlib.import_module(library).load_state_dict(str(tmp_path / "x.bin"))


@pytest.mark.parametrize("part", INDEXES)
def test_an_index_of_any_part_that_names_a_pickle_elsewhere_is_refused(folder: Path, part: str) -> None:
    in_parts(folder / part, INDEXES[part], "../../x.bin", folder.parent / "x.bin")
    with pytest.raises(UnsafeFile, match=rf"{part}/.*index\.json names '\.\./\.\./x\.bin'"):
        load(folder)


def test_so_is_one_of_a_part_that_no_family_has_and_of_the_folder_with_a_single_files_configs(
    folder: Path, sd1: Any, tmp_path: Path
) -> None:
    from ldm import single_file

    listed = json.loads((folder / "model_index.json").read_text())
    listed["image_encoder"] = ["transformers", "CLIPVisionModelWithProjection"]
    (folder / "model_index.json").write_text(json.dumps(listed))
    (folder / "image_encoder").mkdir()
    content = {"metadata": {}, "weight_map": {"x": "../../x.bin"}}
    (folder / "image_encoder" / "model.safetensors.index.json").write_text(json.dumps(content))
    save_file(single_file(sd1.pipeline), tmp_path / "one.safetensors")
    for source, config in ((folder, None), (tmp_path / "one.safetensors", folder)):
        with pytest.raises(UnsafeFile, match=r"image_encoder/model\.safetensors\.index\.json names"):
            load(source, config=config)


@pytest.mark.parametrize("shard", ELSEWHERE)
def test_an_index_names_safetensors_in_its_own_folder_and_nothing_else(tmp_path: Path, shard: Any) -> None:
    index = tmp_path / "model.safetensors.index.fp16.json"
    index.write_text(json.dumps({"weight_map": {"good": "model-1.safetensors", "bad": shard}}))
    with pytest.raises(UnsafeFile, match=r"only \.safetensors files in its own folder are read"):
        check_names(tmp_path)


def test_a_good_index_is_read_and_a_pickles_index_and_side_files_are_passed_over(tmp_path: Path) -> None:
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(
        json.dumps({"weight_map": {"a": "m-2.safetensors", "b": "m-1.safetensors", "c": "m-2.safetensors"}})
    )
    (tmp_path / "._model.safetensors.index.json").write_bytes(b"\0\1Mac OS X")
    (tmp_path / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": {"a": "m-1.bin"}}))
    check_names(tmp_path)
    assert shard_names(index) == ["m-1.safetensors", "m-2.safetensors"]


@pytest.mark.parametrize("content", ["", "[1]", "{}", '{"weight_map": [1]}', "\xff"])
def test_an_index_that_is_none_is_one_sentence(tmp_path: Path, content: str) -> None:
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(content, encoding="latin-1")
    with pytest.raises(ModelNotFound, match=r"index\.json") as caught:
        check_names(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("named", ["adapter_model.bin", "../x.safetensors", 3])
def test_a_config_that_names_other_weights_is_refused(folder: Path, named: Any) -> None:
    path = folder / "text_encoder" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "transformers_weights": named}))
    with pytest.raises(UnsafeFile, match=r"text_encoder/config\.json names"):
        load(folder)


def test_adapters_beside_a_part_are_refused(folder: Path) -> None:
    adapter = {"peft_type": "LORA", "base_model_name_or_path": str(folder.parent / "other")}
    (folder / "text_encoder" / "adapter_config.json").write_text(json.dumps(adapter))
    with pytest.raises(UnsafeFile, match=r"text_encoder holds adapters"):
        load(folder)
