"""Write a model with its edits baked in as a diffusers folder, with a record of them and a card."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from turpentine.core.atomic_files import reserve
from turpentine.core.errors import EditError
from turpentine.core.markdown import escaped, front_matter, markdown_table
from turpentine.core.tensors import as_os_errors
from turpentine.models.loading.quiet_logging import quiet
from turpentine.models.old_releases import add_old_files

if TYPE_CHECKING:
    from turpentine.models.pretrained import Pretrained

RECORD = "turpentine.json"
CARD = "README.md"


def save_folder(model: Pretrained, folder: str | os.PathLike[str], card: str) -> None:
    """Write the model as it is now, edits included, whole or not at all; see `Model.save_pretrained`.

    Args:
        model: The model to write.
        folder: Where to; it must not exist, or be empty.
        card: The text of `README.md`.

    Raises:
        EditError: The folder exists and is not empty, or a guidance is on the model.
        UnsupportedModel: Something is on the model that no export holds, such as a LoRA of PEFT's.
        OSError: The disk is full, or another error of the file system.
    """
    target = Path(folder)
    refuse_existing(target, allow_empty_folder=True)
    refuse_guidance(model)
    model.family.check(hooks=False)
    with _whole_folder(target) as partial, quiet(), as_os_errors(target):
        model.pipeline.save_pretrained(partial, safe_serialization=True)
        add_old_files(partial)
        (partial / RECORD).write_text(export_record(model), encoding="utf-8")
        (partial / CARD).write_text(card, encoding="utf-8")


def refuse_existing(path: str | os.PathLike[str], *, allow_empty_folder: bool = False) -> None:
    """Check that there is nothing at `path` that an export would replace.

    Raises:
        EditError: There is.
    """
    target = Path(path)
    if allow_empty_folder and target.is_dir() and not any(target.iterdir()):
        return
    if target.exists():
        raise EditError(f"{target} exists already: choose another place, or remove it first.")


def refuse_guidance(model: Pretrained) -> None:
    """Check that no guidance is on a model: it acts while pictures are drawn, and is in no weights.

    Raises:
        EditError: There is one.
    """
    if model.guidance is not None:
        raise EditError(f"{model!r} has a guidance on it, which no weights hold: take it off, and save it by itself.")


def export_record(model: Pretrained) -> str:
    """Return what an export contains, as JSON: the model's name, its base's fingerprint, and the edits in order."""
    edits = [
        {"id": edit.id, "strength": edit.strength, "provenance": edit.provenance.to_json()}
        for edit in model.edits or ()
    ]
    return json.dumps({"model": model.name, "base": model.fingerprint, "edits": edits}, indent=2)


def model_card(model: Pretrained, place: str) -> str:
    """Return the card of an exported model, as Markdown: what it is, how it is loaded, which edits are in it.

    Args:
        model: With its edits on.
        place: The hub id or the folder that others load it from.
    """
    edits = list(model.edits or ())
    rows = [(escaped(edit.title), f"`{edit.id[:12]}`", escaped(_settings(edit))) for edit in edits]
    sentence = f"{escaped(model.name)} with {len(edits)} {'edit' if len(edits) == 1 else 'edits'} in its weights."
    parts = [
        front_matter(card_facts(model.name, "diffusers", [edit.provenance.method for edit in edits])),
        f"# {escaped(model.name)}, edited" if edits else f"# {escaped(model.name)}",
        sentence if edits else f"{escaped(model.name)} as it is, without edits.",
        f"```python\nimport turpentine as tp\n\nmodel = tp.load({json.dumps(place)})\n```",
        "Or with diffusers alone, as any other pipeline.",
        *([f"## Edits, in order\n\n{markdown_table(('edit', 'id', 'settings'), rows)}", HEED] if edits else []),
    ]
    return "\n\n".join(parts) + "\n"


HEED = (
    "What an edit leaves of a concept, and what else it changes, is not measured here: "
    "`turpentine bench` measures it. Prompts made to bring a concept back may do so."
)
"""What every card of an edit says."""


def card_facts(model: str, library: str, methods: list[str]) -> dict[str, Any]:
    """Return what a hub reads of a card: the base model, where its name is one on a hub, the library, and tags.

    Example:
        >>> card_facts("CompVis/stable-diffusion-v1-4", "turpentine", ["UCE"])["base_model"]
        'CompVis/stable-diffusion-v1-4'
    """
    base = {"base_model": model} if re.fullmatch(r"[\w.-]+/[\w.-]+", model) else {}
    tags = ["turpentine", "text-to-image", *dict.fromkeys(methods)]
    return {**base, "library_name": library, "pipeline_tag": "text-to-image", "tags": tags}


def _settings(edit: Any) -> str:
    settings: Mapping[str, Any] = edit.provenance.settings
    return ", ".join(f"{name} {value}" for name, value in settings.items() if isinstance(value, str | int | float))


@contextmanager
def _whole_folder(target: Path) -> Iterator[Path]:
    """Yield a temporary folder that becomes `target` at the end of the block, or is removed on an error."""
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = reserve(target)
    try:
        yield partial
        _flush(partial)
        os.replace(partial, target)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def _flush(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            path.chmod(folder.stat().st_mode & 0o666)  # safetensors leaves files that only their owner may read
            with path.open("rb+") as file:
                os.fsync(file.fileno())
