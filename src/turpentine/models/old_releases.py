"""What readers of transformers 4 look for in a pipeline's folder, beside what transformers 5 writes.

A program with an older release finds no weight of the text encoder under the new names, leaves it with random numbers
and only warns of that; and it cannot read the tokenizer at all. Both releases read what is written here.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import load_file

from turpentine.core.tensors import save_tensors

_LEVEL = "text_model."
_BELOW_LEVEL = ("embeddings.", "encoder.", "final_layer_norm.")


def add_old_files(folder: Path) -> None:
    """Write a pipeline's text encoders and tokenizers so that transformers 4 reads them too.

    Args:
        folder: Of the pipeline, in diffusers' layout, as transformers 5 has written it.

    Raises:
        OSError: As the file system does.
    """
    for part in sorted(each for each in folder.iterdir() if each.is_dir()):
        if (part / "tokenizer.json").is_file():
            _split_tokenizer(part)
        if _json_in(part / "config.json").get("model_type") == "clip_text_model":
            _name_weights(part)


def _name_weights(folder: Path) -> None:
    """Put the level `text_model` into the names of a text encoder's weights, which transformers 5 left out."""
    for path in sorted(folder.glob("*.safetensors")):
        tensors = load_file(path)
        with safe_open(path, framework="pt") as file:
            metadata = dict(file.metadata() or {})
        path.unlink()
        save_tensors(path, {_old_name(name): tensor for name, tensor in tensors.items()}, metadata)
    for path in folder.glob("*.safetensors.index.json"):
        index = _json_in(path)
        index["weight_map"] = {_old_name(name): file for name, file in index["weight_map"].items()}
        path.write_text(json.dumps(index, indent=2), encoding="utf-8")


def _old_name(name: str) -> str:
    return f"{_LEVEL}{name}" if name.startswith(_BELOW_LEVEL) else name


def _split_tokenizer(folder: Path) -> None:
    """Write the vocabulary and the merges of a byte-pair tokenizer as files of their own."""
    content = _json_in(folder / "tokenizer.json")
    model = content["model"]
    if model["type"] != "BPE":
        return
    vocabulary = {**model["vocab"]}
    pairs = [pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"]]
    (folder / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False), encoding="utf-8")
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *pairs, ""]), encoding="utf-8")
    added = {each["content"]: each["id"] for each in content["added_tokens"] if each["content"] not in vocabulary}
    if added:
        (folder / "added_tokens.json").write_text(json.dumps(added, ensure_ascii=False), encoding="utf-8")


def _json_in(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return content
