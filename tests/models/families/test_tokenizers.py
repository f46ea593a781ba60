"""A tokenizer that is missing, empty, cut or another model's is refused, wherever the pipeline comes from."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from tiny import tiny_sd1, tiny_sdxl, tiny_tokenizer
from transformers import CLIPTokenizer

from turpentine.core.errors import ModelNotFound
from turpentine.models import Model, load


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model")
    tiny_sd1().save_pretrained(path)
    return path


def old_layout(place: Path, merges: int | None = None, words: int | None = None) -> None:
    """Write the tiny tokenizer's vocabulary and merges as older releases do, or only the first of them."""
    place.mkdir(parents=True)
    model = json.loads(tiny_tokenizer().backend_tokenizer.to_str())["model"]
    vocabulary = sorted(model["vocab"], key=model["vocab"].get)[:words]
    (place / "vocab.json").write_text(json.dumps({word: number for number, word in enumerate(vocabulary)}))
    lines = [" ".join(pair) if isinstance(pair, list) else pair for pair in model["merges"][:merges]]
    (place / "merges.txt").write_text("\n".join(["#version: 0.2", *lines, ""]))
    (place / "tokenizer_config.json").write_text(json.dumps({"model_max_length": 16}))


@pytest.mark.parametrize("gone", ["all", "tokenizer.json", "empty vocabulary"])
def test_a_folder_without_a_vocabulary_is_refused(folder: Path, tmp_path: Path, gone: str) -> None:
    broken = shutil.copytree(folder, tmp_path / "broken")
    if gone == "all":
        shutil.rmtree(broken / "tokenizer")
        (broken / "tokenizer").mkdir()
    elif gone == "tokenizer.json":
        (broken / "tokenizer" / gone).unlink()
    else:
        shutil.rmtree(broken / "tokenizer")
        old_layout(broken / "tokenizer", words=0)
    with pytest.raises(ModelNotFound, match=r"tokenizer|BPE") as caught:
        load(broken)
    assert "\n" not in str(caught.value)


def test_the_old_layout_is_read_and_refused_where_its_merges_are_gone_or_cut(tmp_path: Path) -> None:
    for name, merges in (("whole", None), ("none", 0), ("cut", 20)):
        old_layout(tmp_path / name, merges)
    assert Model(with_tokenizer(CLIPTokenizer.from_pretrained(tmp_path / "whole"))).tokens == 16
    for name in ("none", "cut"):
        with pytest.raises(ModelNotFound, match="its vocabulary and its merges do not belong together"):
            Model(with_tokenizer(CLIPTokenizer.from_pretrained(tmp_path / name)))


def test_none_and_another_models_are_refused() -> None:
    with pytest.raises(ModelNotFound, match="has no tokenizer of text_encoder, without which no prompt"):
        Model(with_tokenizer(None))
    larger = tiny_tokenizer()
    larger.add_tokens(["<church>"])
    with pytest.raises(ModelNotFound, match=r"has 113 tokens and its text encoder reads 112: it is another model's"):
        Model(with_tokenizer(larger))


def test_the_second_tokenizer_is_checked_too() -> None:
    pipeline = tiny_sdxl()
    pipeline.tokenizer_2 = None
    with pytest.raises(ModelNotFound, match="tokenizer of text_encoder_2"):
        Model(pipeline)


def test_a_swapped_tokenizer_is_another_identity() -> None:
    from turpentine.models.identity import describe

    one, other = Model(tiny_sd1()), Model(with_tokenizer(swapped()))
    assert one.fingerprint == other.fingerprint and describe(one) != describe(other)


def swapped() -> Any:
    """The tiny tokenizer with two of its words exchanged."""
    state = json.loads(tiny_tokenizer().backend_tokenizer.to_str())["model"]
    ids = dict(state["vocab"])
    ids["church</w>"], ids["dog</w>"] = ids["dog</w>"], ids["church</w>"]
    pairs = [tuple(pair) if isinstance(pair, list) else tuple(pair.split()) for pair in state["merges"]]
    return CLIPTokenizer(vocab=ids, merges=pairs, model_max_length=16)


def with_tokenizer(tokenizer: Any) -> Any:
    pipeline = tiny_sd1()
    pipeline.tokenizer = tokenizer
    return pipeline
