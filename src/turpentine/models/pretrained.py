"""What users of diffusers expect of a model beside drawing: load, move, save, publish, and see what is on it."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakSet

from turpentine.core import notebook
from turpentine.core.errors import BadArgument
from turpentine.models.placement import place, placement
from turpentine.models.publishing import publish
from turpentine.models.saving import model_card, save_folder

if TYPE_CHECKING:
    import torch
    from diffusers import DiffusionPipeline

    from turpentine.models.families import Family
    from turpentine.models.model import Model

Self = TypeVar("Self", bound="Pretrained")


class Pretrained:
    """A model as something that is loaded, moved, saved and published; `Model` has the rest."""

    name: str
    pipeline: Any
    family: Family
    edits: Any
    guidance: Any
    samples: Any

    if TYPE_CHECKING:

        @property
        def fingerprint(self) -> str: ...

        @property
        def remainder(self) -> str: ...

        @property
        def device(self) -> torch.device: ...

        @property
        def dtype(self) -> torch.dtype: ...

        @property
        def components(self) -> dict[str, Any]: ...

        def note_weights(self) -> None: ...

        def forget_fingerprint(self) -> None: ...

        def describe(self) -> dict[str, str | int]: ...

    @classmethod
    def from_pretrained(
        cls, source: str | Path | DiffusionPipeline, *, torch_dtype: str | torch.dtype | None = None, **options: Any
    ) -> Model:
        """Load a model, as `turpentine.load` does; the name under which users of diffusers look for it.

        Args:
            source: A folder, a `.safetensors` file, a hub id, "emoji", or a pipeline.
            torch_dtype: As diffusers calls `dtype`.
            options: `device`, `dtype`, `config`, `prediction`, `zero_snr`; see `turpentine.load`.

        Raises:
            BadArgument: There is `torch_dtype` and `dtype`.
        """
        from turpentine.models import load

        if torch_dtype is not None and "dtype" in options:
            raise BadArgument("torch_dtype and dtype are one and the same: give one of them.")
        return load(source, **(options if torch_dtype is None else {**options, "dtype": torch_dtype}))

    def to(self: Self, *where: Any, device: Any = None, dtype: Any = None) -> Self:
        """Move the model, change its number format, or both, in place, and return it; edits on it stay on.

        Args:
            where: As in diffusers: a device such as "cuda", a number format such as `torch.float16` or "float16", or
                both.
            device: The same by name.
            dtype: The same by name.

        Raises:
            BadArgument: That is no device of this machine, or no floating-point number format.

        Example:
            >>> model.to("cpu", "float32") is model
            True
        """
        place(self, *placement(where, device, dtype))
        return self

    def save_pretrained(self, folder: str | os.PathLike[str]) -> None:
        """Write the model as it is now, edits included, as a full diffusers folder in safetensors, whole or not at all.

        diffusers loads it like any other and draws the same pictures. `turpentine.json` in it lists the edits, in
        order, and `README.md` is a card.

        Args:
            folder: Where to; it must not exist, or be empty.

        Raises:
            EditError: The folder exists and is not empty, or a guidance is on the model, which no weights hold.
            OSError: The disk is full, or another error of the file system.
        """
        save_folder(self, folder, model_card(self, Path(folder).name))

    def push_to_hub(
        self, repo_id: str, *, private: bool = False, token: str | None = None, commit_message: str | None = None
    ) -> str:
        """Upload what `save_pretrained` writes to the Hugging Face hub, and return the address there.

        Args:
            repo_id: The repository, such as "me/no-church"; it is created if it is not there.
            private: Is a repository that is created to be seen by its owner only?
            token: Of the hub; by default that of `hf auth login`.
            commit_message: Of the commit.

        Raises:
            BadArgument: That is no name of a repository.
            EditError: A guidance is on the model.
            UploadError: There is no token, no network, or the hub refuses.
        """
        write = partial(save_folder, self, card=model_card(self, repo_id))
        return publish(write, repo_id, private=private, token=token, message=commit_message)

    @property
    def changes(self) -> tuple[Any, ...]:
        """The edits that are on, in order, then the guidances; a guidance that was set by hand is there as it is."""
        guidances = () if self.guidance is None else getattr(self.guidance, "changes", (self.guidance,))
        return (*(self.edits or ()), *guidances)

    def unload(self) -> None:
        """Take all edits and guidances off: the weights are the base's again, bit by bit."""
        for change in reversed(self.changes):
            if hasattr(change, "remove"):
                change.remove(self)
            else:
                self.guidance = None

    def __repr__(self) -> str:
        active = ", ".join(_title(change) for change in self.changes)
        where = f"{self.device}, {str(self.dtype).removeprefix('torch.')}"
        return f"Model({self.name!r}, {where}{f'; on it: {active}' if active else ''})"

    def _repr_html_(self) -> str:
        facts = {key: value for key, value in self.describe().items() if key != "name"}
        active = ", ".join(_title(change) for change in self.changes) or "nothing"
        return notebook.box(self.name, notebook.facts({**facts, "on it": active}), note="Model")


_LIVING: WeakSet[Pretrained] = WeakSet()


def note_living(model: Pretrained) -> None:
    """Let `living` know of a new model."""
    _LIVING.add(model)


def living() -> list[Any]:
    """Return the models of this process that are still in use."""
    return list(_LIVING)


def _title(change: Any) -> str:
    return str(getattr(change, "title", repr(change)))
