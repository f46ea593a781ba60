"""What a page of the studio holds, and its file: whole at every moment, and read again after a reload or a kill."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from turpentine.core.atomic_files import write_text_whole
from turpentine.core.errors import BadArgument

FILE, DAMAGED = "state.json", "state.damaged.json"

Scale = Annotated[float, Field(ge=-1, le=2, allow_inf_nan=False)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Rows = Annotated[int, Field(ge=1, le=1_000_000)]


class StackEntry(BaseModel):
    """One change on the stack.

    Attributes:
        id: Of the change at the strength of its file; its first digits.
        title: What made it, of what.
        kind: An edit changes weights, a guidance the sampling; a filter is on or off.
        scale: How strong it is here, of the file's strength.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: Annotated[str, Field(pattern="^[0-9a-f]{12}$")]
    title: str
    kind: Literal["edit", "guidance", "filter"]
    scale: Scale = 1.0

    @property
    def file(self) -> str:
        """Name of its file in the studio's folder of changes."""
        return f"{self.id}.{'safetensors' if self.kind == 'edit' else 'json'}"


class PageState(BaseModel):
    """What the page is about. A field that cannot be is refused by name.

    Attributes:
        revision: Goes up by 1 with each change, so that a second window sees that it is behind.
        prompt: What is drawn.
        seed: Of the picture.
        steps: Of the solver, ddim as in the instruments.
        guidance_scale: How strongly the prompt guides (w).
        layers: The stack, from the change that goes on first.
        on: Which picture is looked into: of the model as it is, or with the stack on it.
        concept: What is located, erased and attacked.
        sites: Labels of the layers that are selected, to erase with.
        method: That erases.
        updates: Of a method that trains.
        attack: That is tried.
        budget: Rows of the denoiser that its search may spend.
        pictures: New ones of what the attack finds.
        audit: The file of an audit whose card is shown; "" for none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    largest_steps: ClassVar[int] = 200

    revision: int = 0
    prompt: Annotated[str, Field(max_length=1000)] = "a church"
    seed: Seed = 0
    steps: Annotated[int, Field(ge=1, le=200)] = 10
    guidance_scale: Annotated[float, Field(ge=-50, le=50, allow_inf_nan=False)] = 4.0
    layers: tuple[StackEntry, ...] = ()
    on: Literal["original", "edited"] = "edited"
    concept: Annotated[str, Field(max_length=200)] = "church"
    sites: tuple[str, ...] = ()
    method: str = "uce"
    updates: Annotated[int, Field(ge=1, le=10_000)] = 20
    attack: str = "seed-search"
    budget: Rows = 400
    pictures: Annotated[int, Field(ge=1, le=100)] = 4
    audit: str = ""

    def changed(self, **fields: Any) -> PageState:
        """Return the state with other values, and the next revision.

        Raises:
            BadArgument: A value cannot be; the sentence names the field.
        """
        content = {**self.model_dump(), **fields, "revision": self.revision + 1}
        try:
            return PageState.model_validate(content)
        except ValidationError as error:
            raise BadArgument(_sentence(error)) from None

    def drawing(self) -> dict[str, Any]:
        """Return how pictures are drawn, as arguments of instruments and of `Model.generate`."""
        return {"steps": self.steps, "guidance_scale": self.guidance_scale}

    def layer(self, id: str) -> StackEntry:
        """Return a change of the stack.

        Raises:
            BadArgument: It is not there; another window may have taken it off.
        """
        for each in self.layers:
            if each.id == id:
                return each
        raise BadArgument("That change is not on the stack any more: another window took it off.")


def read_state(folder: Path, first: PageState) -> tuple[PageState, str]:
    """Return the state in a folder, or the first one, and what is to be said of it.

    Args:
        folder: Of the studio.
        first: Where there is none yet.

    Returns:
        The state, and a sentence where the file was damaged, which is put aside; else "".
    """
    path = folder / FILE
    if not path.is_file():
        return first, ""
    try:
        return PageState.model_validate_json(path.read_bytes()), ""
    except ValidationError:
        path.replace(folder / DAMAGED)
        return first, f"The state in {folder} was damaged and is put aside as {DAMAGED}: the studio begins anew."


def write_state(folder: Path, state: PageState) -> None:
    """Write the state, whole or not at all."""
    write_text_whole(folder / FILE, json.dumps(state.model_dump(), indent=1))


def _sentence(error: ValidationError) -> str:
    first = error.errors()[0]
    name = " ".join(str(part) for part in first["loc"] if not isinstance(part, int)).replace("_", " ")
    if first["type"] == "extra_forbidden":
        return f"The studio has no {name}: leave it out."
    message = first["msg"][:1].lower() + first["msg"][1:]
    given = first["input"][:60] if isinstance(first["input"], str) else first["input"]
    return f"The {_NAMES.get(name, name)} {given!r} cannot be: {message.replace('input', 'it', 1)}."


_NAMES = {"guidance scale": "guidance", "layers scale": "scale", "budget": "budget of rows"}
