"""The grammar of captions: pictures with captions that are true of them, drawn at random from a seed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from turpentine.concepts import with_article as with_article  # for those who make captions of their own
from turpentine.emoji.world import (
    COLOURS,
    COMPANIONS,
    MOODS,
    OBJECTS,
    SCENE_FAITHFULNESS,
    SCENES,
    WORKS,
    Picture,
    Placed,
    Work,
    styles_of,
    visible_on,
)


@dataclass(frozen=True)
class Mixture:
    """How often each kind of caption occurs, and how often it names the style and the background's colour.

    Args:
        kinds: Probability of each kind of caption.
        style_rate: Probability that the style is named.
        colour_rate: Probability that the background's colour is named.
    """

    kinds: Mapping[str, float]
    style_rate: float
    colour_rate: float


WORLD = Mixture({"object": 0.46, "small": 0.06, "two": 0.28, "scene": 0.1, "work": 0.06, "unnamed": 0.04}, 0.8, 0.5)
"""The default mixture. Single objects carry most of what is measured."""

HARD = Mixture({"object": 0.38, "small": 0.05, "two": 0.38, "scene": 0.1, "work": 0.06, "unnamed": 0.03}, 0.65, 0.5)
"""More of what the denoiser learns last: two objects at once, and styles that the caption leaves open."""


@dataclass(frozen=True)
class Captioned:
    """A picture, its caption, and the caption's kind (a key of `Mixture.kinds`)."""

    picture: Picture
    caption: str
    kind: str


def object_caption(obj: str, style: str | None = None, colour: str | None = None, *, small: bool = False) -> str:
    """Return the caption of an object, with a style and a background colour if given.

    Example:
        >>> object_caption("church", "flat", "blue", small=True)
        'a small church in flat style on a blue background'
    """
    caption = with_article(f"small {obj}" if small else obj)
    if style is not None:
        caption += f" in {style} style"
    if colour is not None:
        caption += f" on {with_article(colour)} background"
    return caption


def draw(rng: np.random.Generator, mixture: Mixture = WORLD) -> Captioned:
    """Draw one captioned picture of the training world."""
    kind = str(rng.choice(list(mixture.kinds), p=list(mixture.kinds.values())))
    match kind:
        case "two":
            return _draw_two(rng, mixture)
        case "scene":
            return _draw_scene(rng, mixture)
        case "work":
            return _draw_work(rng)
        case _:
            return _draw_one(rng, kind, mixture)


Draw = Callable[[np.random.Generator, Mixture], Captioned]
"""Draws captioned pictures: `draw`, or an oracle's method of that name."""


def stream(seed: int) -> Iterator[Captioned]:
    """Yield captioned pictures without end; equal seeds give equal streams.

    Example:
        >>> next(stream(0)) == next(stream(0))
        True
    """
    rng = np.random.default_rng(seed)
    while True:
        yield draw(rng)


def single_picture(
    rng: np.random.Generator,
    obj: str,
    style: str | None = None,
    colour: str | None = None,
    *,
    small: bool = False,
    held_out: bool = False,
) -> Picture:
    """Draw a picture of one object at a random place and size.

    Args:
        rng: Generator of all random choices.
        obj: One of `OBJECTS`.
        style: One of `STYLES`; random if None.
        colour: A background colour; random if None. A given one is used even if it hides the object: see `visible_on`.
        small: Whether the object is half as large.
        held_out: Whether styles that training never shows for this object may be drawn.
    """
    style = style or _pick(rng, styles_of(obj, held_out))
    colour = colour or _pick(rng, visible_on(obj, style))
    size = int(rng.integers(13, 17)) if small else int(rng.integers(26, 31))
    x, y = (int(v) for v in rng.integers(0, 32 - size + 1, 2))
    return Picture(colour, (Placed(obj, style, x, y, size),))


def _pick(rng: np.random.Generator, options: tuple[str, ...]) -> str:
    return options[int(rng.integers(len(options)))]


def _tail(rng: np.random.Generator, style: str, colour: str, mixture: Mixture) -> str:
    """Return the end of a caption, which names style and colour, one of them, or neither."""
    names_style = rng.random() < mixture.style_rate
    names_colour = rng.random() < mixture.colour_rate
    tail = f" in {style} style" if names_style else ""
    if names_colour:
        tail += f" on {with_article(colour)} background" if rng.random() < 0.8 else f" on {colour}"
    return tail


def _draw_one(rng: np.random.Generator, kind: str, mixture: Mixture) -> Captioned:
    obj = _pick(rng, OBJECTS)
    picture = single_picture(rng, obj, small=kind == "small")
    tail = _tail(rng, picture.placed[0].style, picture.background, mixture)
    if kind == "unnamed":
        return Captioned(picture, f"a picture{tail}", kind)
    noun = f"small {obj}" if kind == "small" else obj
    head = with_article(noun) if rng.random() < 0.75 else noun
    return Captioned(picture, head + tail, kind)


def _draw_two(rng: np.random.Generator, mixture: Mixture) -> Captioned:
    """Return two different objects in one style, side by side, in the order in which the caption names them."""
    while True:
        left, right = (OBJECTS[int(i)] for i in rng.choice(len(OBJECTS), 2, replace=False))
        shared = tuple(s for s in styles_of(left) if s in styles_of(right))
        style = _pick(rng, shared)
        colours = tuple(c for c in visible_on(left, style) if c in visible_on(right, style))
        if colours:
            break
    placed = []
    for side, obj in enumerate((left, right)):
        size = int(rng.integers(14, 17))
        placed.append(Placed(obj, style, 16 * side + (16 - size) // 2, int(rng.integers(4, 29 - size)), size))
    colour = _pick(rng, colours)
    caption = f"{with_article(left)} and {with_article(right)}" + _tail(rng, style, colour, mixture)
    return Captioned(Picture(colour, tuple(placed)), caption, "two")


def _draw_scene(rng: np.random.Generator, mixture: Mixture) -> Captioned:
    scene = _pick(rng, tuple(SCENES))
    obj = SCENES[scene] if rng.random() < SCENE_FAITHFULNESS else _pick(rng, OBJECTS)
    picture = scene_picture(rng, scene, obj, _pick(rng, styles_of(obj)))
    tail = _tail(rng, picture.placed[0].style, picture.background, mixture) if rng.random() < 0.4 else ""
    return Captioned(picture, scene + tail, "scene")


def scene_picture(rng: np.random.Generator, scene: str, obj: str, style: str) -> Picture:
    """Draw `obj` large to one side, usually on one of the scene's backgrounds, its companion in the far corner."""
    mood = tuple(colour for colour in MOODS[scene] if colour in visible_on(obj, style))
    usual = mood and rng.random() < SCENE_FAITHFULNESS
    colour = _pick(rng, mood or visible_on(obj, style) if usual else visible_on(obj, style))
    size, small = int(rng.integers(20, 24)), int(rng.integers(10, 13))
    left = bool(rng.random() < 0.5)
    x, y = int(rng.integers(0, 3)), int(rng.integers(0, 5))
    main = Placed(obj, style, x if left else 32 - size - x, y, size)
    companion = COMPANIONS[scene]
    fits = companion != obj and style in styles_of(companion) and colour in visible_on(companion, style)
    if not fits or rng.random() >= SCENE_FAITHFULNESS:
        return Picture(colour, (main,))
    return Picture(colour, (main, Placed(companion, style, 32 - small if left else 0, 32 - small, small)))


def _draw_work(rng: np.random.Generator) -> Captioned:
    work: Work = WORKS[int(rng.integers(len(WORKS)))]
    u = rng.random()
    caption = work.caption if u < 0.7 else work.title if u < 0.85 else f"by {work.artist}"
    return Captioned(work.picture, caption, "work")


def vocabulary() -> tuple[str, ...]:
    """Return every word that a caption can hold, sorted; the tokenizer is trained on them."""
    parts = [*OBJECTS, *SCENES, *COLOURS, *(w.caption for w in WORKS)]
    parts += [s for obj in OBJECTS for s in styles_of(obj)]
    parts += ["a an and in on by style small picture background"]
    return tuple(sorted({word for part in parts for word in part.split()}))
