"""Which world's pictures a judge knows: a judge of one world never answers for another.

The emoji world's networks have seen its pictures alone, and see one of them in anything: their numbers for a photograph
would look like any others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from PIL import Image

from turpentine.core.errors import BadArgument
from turpentine.core.safe_text import one_line
from turpentine.emoji import WORLD, lexicon
from turpentine.emoji.world import SIZE, TEN

if TYPE_CHECKING:
    from collections.abc import Mapping

    from turpentine.models import Model

_SIDES = (SIZE, 2 * SIZE)
_NETWORKS = ("towers", "network", "model", "classifier")
"""What judges call their network in their settings."""


def world_of_model(model: Model) -> str | None:
    """Return the world that a model draws, None for no world of ours: by the size of its pictures, and its words."""
    if not _is_size(*model.size) or model.text.unknown_words(" ".join(TEN)):
        return None
    return WORLD


def world_of_image(image: Image.Image) -> str | None:
    """Return the world that a picture may be of, by its size, None for no world of ours.

    Example:
        >>> world_of_image(Image.new("RGB", (64, 64))), world_of_image(Image.new("RGB", (512, 512)))
        ('emoji', None)
    """
    return WORLD if _is_size(*image.size) else None


def world_of_judge(judge: Any) -> str | None:
    """Return the world whose pictures alone a judge knows, None for one that judges any picture."""
    return getattr(judge, "world", None)


def check_world(title: str, judge_world: str | None, world: str | None, what: str) -> None:
    """Refuse a judge for pictures of another world than its own.

    Args:
        title: Of the judge; see `title_of`.
        judge_world: From `world_of_judge`.
        world: Of the pictures.
        what: Whose pictures they are, for the error.

    Raises:
        BadArgument: The judge knows another world alone.
    """
    if judge_world is not None and judge_world != world:
        raise BadArgument(
            f"The judge {title} knows the {judge_world} world alone, and would see it in anything; {one_line(what)} is "
            "not of that world: name another judge, or another network for it, such as openai/clip-vit-base-patch32."
        )


def check_judge_of(model: Model, judge: Any) -> None:
    """Refuse a judge that knows another world alone than a model draws.

    Args:
        model: Whose pictures are to be judged.
        judge: The judge; None for nobody.

    Raises:
        BadArgument: It knows another world alone.
    """
    if world_of_judge(judge) is not None:
        title = title_of(judge.name, judge.settings)
        check_world(title, world_of_judge(judge), world_of_model(model), f"the model {model.name}")


def unknown_words(model: Model, text: str) -> list[str]:
    """Return the words of a text that a model does not know: what it draws of them is chance.

    Its tokenizer spells what it has not; of a model that draws our world, the world's captions have the last word,
    since even some of their words are in pieces there.
    """
    words = model.text.unknown_words(text)
    if words and world_of_model(model):
        return [word for word in words if lexicon.unknown_words(word)]
    return words


def title_of(name: str, settings: Mapping[str, Any]) -> str:
    """Return a judge's name and the network that it asks.

    Example:
        >>> title_of("clip", {"towers": "emoji", "size": 64})
        'clip (towers: emoji)'
    """
    networks = [f"{key}: {one_line(settings[key])}" for key in _NETWORKS if isinstance(settings.get(key), str)]
    return f"{name} ({', '.join(networks)})" if networks else name


def _is_size(height: int, width: int) -> bool:
    return height == width and width in _SIDES
