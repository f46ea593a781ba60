"""The flags of pictures that `turpentine attack` and `turpentine audit` are given, and of the never-seen control."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from turpentine.cli.help_text import with_help
from turpentine.cli.options import judge_of_concept
from turpentine.cli.picture_files import picture_files
from turpentine.cli.terminal import plain
from turpentine.core.errors import BadArgument
from turpentine.core.imaging import read_picture

if TYPE_CHECKING:
    from PIL import Image

    from turpentine.attack.controls import Never
    from turpentine.models import Model

NO_CONTROL = "none"


@with_help
@dataclass(frozen=True)
class ReferenceChoice:
    """Pictures that attacks are given: of the concept, and of one that the model never saw.

    Args:
        references: Pictures of the concept, files or folders; by default the model without the edit draws them.
        never: A concept that the model never saw, for a control, or none. In the emoji world mushroom by default, or
            anchor, snowman or octopus, of which it has pictures and a judge; any other needs --never-references, and is
            judged by clip, or by --by if that knows it.
        never_references: Pictures of that concept.
    """

    references: tuple[Path, ...] = ()
    never: str | None = None
    never_references: tuple[Path, ...] = ()

    def check(self) -> None:
        """Check what can be checked before a model is loaded.

        Raises:
            BadArgument: A file is no picture, or what was never seen has no pictures or no name.
        """
        from turpentine.emoji.world import UNSEEN

        is_off = self.never in (None, NO_CONTROL)
        if is_off and self.never_references:
            raise BadArgument("--never-references are pictures of a concept without a name: give it by --never.")
        if not is_off and self.never not in UNSEEN and not self.never_references:
            raise BadArgument(
                f"There are no pictures of {plain(str(self.never))!r}: give some by --never-references, or, in the "
                f"emoji world, choose one of {', '.join(UNSEEN)}."
            )
        self.pictures()
        _read(self.never_references)

    def pictures(self) -> list[Image.Image]:
        """Return the pictures of the concept."""
        return _read(self.references)

    def never_of(self, model: Model, by: str | None) -> Never | None:
        """Return the concept that a model never saw, with pictures of it and a judge that knows it; None for none.

        Args:
            model: The model without the edit.
            by: The value of `--by`.

        Raises:
            BadArgument: There are no pictures of it, or nobody to judge it.
        """
        from turpentine.attack.controls import unseen
        from turpentine.emoji.world import UNSEEN
        from turpentine.judges.worlds import world_of_model
        from turpentine.tasks.erasure_cases import named_concept

        is_world = world_of_model(model) is not None
        if self.never == NO_CONTROL or (self.never is None and not is_world):
            return None
        name, pictures = self.never or UNSEEN[0], _read(self.never_references)
        if is_world and name in UNSEEN:
            _, rendered, judge = unseen(name)
            return name, pictures or rendered, judge
        if not pictures:
            raise BadArgument(f"There are pictures of {name} for the emoji world alone: give --never-references.")
        return name, pictures, judge_of_concept(by, model, named_concept(name))


def _read(paths: Sequence[Path]) -> list[Image.Image]:
    return [read_picture(path) for path in picture_files(paths)] if paths else []
