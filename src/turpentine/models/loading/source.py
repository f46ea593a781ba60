"""Where a model is: checked before torch and diffusers are imported, so that a wrong name is refused at once."""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError

from turpentine.core.errors import ModelNotFound, UnsafeFile
from turpentine.core.safe_text import one_line
from turpentine.core.suggest import nearest, offer
from turpentine.emoji import BUILT, WEIGHTS, WORLD
from turpentine.emoji.oracles import SHIPPED, is_oracle_name, no_oracle
from turpentine.models.loading.hub import check_on_hub, fetch, is_hub_id
from turpentine.models.loading.safe_reading import (
    PICKLES,
    clear_errors,
    is_pointer,
    pickle_refused,
    pointer_refused,
    weight_names,
)

INDEX = "model_index.json"


def check_source(source: str) -> None:
    """Check that a model can be where its name says.

    Args:
        source: As `turpentine.load` takes it: "emoji", "emoji-64", "emoji-mmdit", an oracle's name, a folder, a
            .safetensors file, or a hub id.

    Raises:
        ModelNotFound: Nothing is there, or the hub cannot be reached.
        UnsafeFile: It is a pickle.
    """
    if not source.strip():
        raise ModelNotFound("The model has no name: give a diffusers folder, a .safetensors file or a hub id.")
    path = place_of(source)
    if is_built(path):
        return
    if path.parent == SHIPPED:
        raise ModelNotFound(no_oracle(source))
    if path.is_dir():
        if not (path / INDEX).is_file():
            raise ModelNotFound(
                f"The folder {one_line(str(path))} holds no model in diffusers' layout: it has no {INDEX}."
            )
    elif path.suffix in PICKLES:
        raise UnsafeFile(pickle_refused(path))
    elif path.is_file() and path.suffix == ".safetensors":
        if is_pointer(path):
            raise ModelNotFound(pointer_refused(path))
        with clear_errors(f"The file {one_line(str(path))} cannot be read"):
            weight_names(path)
    elif is_hub_id(source):
        check_on_hub(source, INDEX)
    else:
        near = nearest(source, [WORLD, *BUILT, *(each.name for each in SHIPPED.iterdir())], cutoff=0.8)
        way_out = offer(source, near) if near else "give a diffusers folder, a .safetensors file or a hub id."
        raise ModelNotFound(f"There is no model at {one_line(str(path))}: {way_out}")


def locate(source: str) -> Path:
    """Return the folder or single file of a model, fetched from the hub if it is not here.

    Raises:
        ModelNotFound: There is none.
        UnsafeFile: It is a pickle.
    """
    check_source(source)
    path = place_of(source)
    return path if path.exists() else fetch(source)


def is_model(source: str) -> bool:
    """Return whether a name is a shipped model's, or a place holds a model in diffusers' layout or the original one.

    Example:
        >>> is_model("emoji"), is_model("edit.safetensors")
        (True, False)
    """
    path = place_of(source)
    if is_built(path) or (path / INDEX).is_file():
        return True
    if path.suffix != ".safetensors" or not path.is_file() or is_pointer(path):
        return False
    try:
        return any(name.startswith("model.diffusion_model.") for name in weight_names(path))
    except (SafetensorError, OSError, ValueError):
        return False  # it is damaged, which who reads it says


def is_built(path: Path) -> bool:
    """Return whether an embedded model lies here whose networks are built, since its folder is not diffusers'."""
    return path in BUILT.values() or (path.parent == SHIPPED and path.is_dir())


def ships(source: str) -> bool:
    """Return whether a name is that of a model which ships, all of which draw the emoji world.

    Example:
        >>> ships("emoji"), ships("emoji-64"), ships("edited/")
        (True, True, False)
    """
    path = place_of(source)
    return path == WEIGHTS or is_built(path)


def place_of(source: str) -> Path:
    """Return where a model of this name is, or would be if it is no hub id."""
    path = Path(source).expanduser()
    if is_oracle_name(source) and not path.exists():
        return SHIPPED / source
    return {WORLD: WEIGHTS, **BUILT}.get(source) or path
