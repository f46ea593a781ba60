"""The small grammar of captions: draws a picture and words that are true of it, from one seed."""

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
    """How often each kind of caption is drawn, and how often it says the style and the colour of the background."""

    kinds: Mapping[str, float]
    say_style: float
    say_colour: float


WORLD = Mixture({"object": 0.46, "small": 0.06, "two": 0.28, "scene": 0.1, "work": 0.06, "unnamed": 0.04}, 0.8, 0.5)
"""The world as it is met unless told otherwise. Single objects carry most of what is measured."""

HARD = Mixture({"object": 0.38, "small": 0.05, "two": 0.38, "scene": 0.1, "work": 0.06, "unnamed": 0.03}, 0.65, 0.5)
"""More of what the denoiser learns last: two objects at once, and styles that the caption leaves open."""


@dataclass(frozen=True)
class Captioned:
    """A picture, its caption, and the kind of caption (a key of `Mixture.kinds`)."""

    picture: Picture
    caption: str
    kind: str


def object_caption(obj: str, style: str | None = None, colour: str | None = None, *, small: bool = False) -> str:
    """The full form, e.g. `"a small church in flat style on a blue background"`."""
    caption = with_article(f"small {obj}" if small else obj)
    if style is not None:
        caption += f" in {style} style"
    if colour is not None:
        caption += f" on {with_article(colour)} background"
    return caption


def draw(rng: np.random.Generator, mixture: Mixture = WORLD) -> Captioned:
    """One captioned picture of the training world."""
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
"""What draws captioned pictures: `draw`, or an oracle's."""


def stream(seed: int) -> Iterator[Captioned]:
    """Captioned pictures without end; the same seed gives the same ones."""
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
    """One object at a random place and size; style and colour drawn where not given.

    A given colour is kept even if it hides the object: callers who name one ask `visible_on` first.
    """
    style = style or _pick(rng, styles_of(obj, held_out))
    colour = colour or _pick(rng, visible_on(obj, style))
    size = int(rng.integers(13, 17)) if small else int(rng.integers(26, 31))
    x, y = (int(v) for v in rng.integers(0, 32 - size + 1, 2))
    return Picture(colour, (Placed(obj, style, x, y, size),))


def _pick(rng: np.random.Generator, options: tuple[str, ...]) -> str:
    return options[int(rng.integers(len(options)))]


def _tail(rng: np.random.Generator, style: str, colour: str, mixture: Mixture) -> str:
    """Style and colour, each said or left unsaid."""
    said_style = rng.random() < mixture.say_style
    said_colour = rng.random() < mixture.say_colour
    tail = f" in {style} style" if said_style else ""
    if said_colour:
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
    """Two different objects in one style, side by side, in the order in which they are named."""
    while True:
        left, right = (OBJECTS[int(i)] for i in rng.choice(len(OBJECTS), 2, replace=False))
        shared = tuple(s for s in styles_of(left) if s in styles_of(right))
        style = _pick(rng, shared)
        seen = tuple(c for c in visible_on(left, style) if c in visible_on(right, style))
        if seen:
            break
    placed = []
    for side, obj in enumerate((left, right)):
        size = int(rng.integers(14, 17))
        placed.append(Placed(obj, style, 16 * side + (16 - size) // 2, int(rng.integers(4, 29 - size)), size))
    colour = _pick(rng, seen)
    caption = f"{with_article(left)} and {with_article(right)}" + _tail(rng, style, colour, mixture)
    return Captioned(Picture(colour, tuple(placed)), caption, "two")


def _draw_scene(rng: np.random.Generator, mixture: Mixture) -> Captioned:
    scene = _pick(rng, tuple(SCENES))
    obj = SCENES[scene] if rng.random() < SCENE_FAITHFULNESS else _pick(rng, OBJECTS)
    picture = scene_picture(rng, scene, obj, _pick(rng, styles_of(obj)))
    tail = _tail(rng, picture.placed[0].style, picture.background, mixture) if rng.random() < 0.4 else ""
    return Captioned(picture, scene + tail, "scene")


def scene_picture(rng: np.random.Generator, scene: str, obj: str, style: str) -> Picture:
    """`obj` large to one side, usually on one of the scene's backgrounds and with its companion in the far corner."""
    mood = tuple(colour for colour in MOODS[scene] if colour in visible_on(obj, style))
    usual = mood and rng.random() < SCENE_FAITHFULNESS
    colour = _pick(rng, mood or visible_on(obj, style) if usual else visible_on(obj, style))
    size, small = int(rng.integers(20, 24)), int(rng.integers(10, 13))
    left = bool(rng.random() < 0.5)
    x, y = int(rng.integers(0, 3)), int(rng.integers(0, 5))
    main = Placed(obj, style, x if left else 32 - size - x, y, size)
    beside = COMPANIONS[scene]
    there = beside != obj and style in styles_of(beside) and colour in visible_on(beside, style)
    if not there or rng.random() >= SCENE_FAITHFULNESS:
        return Picture(colour, (main,))
    return Picture(colour, (main, Placed(beside, style, 32 - small if left else 0, 32 - small, small)))


def _draw_work(rng: np.random.Generator) -> Captioned:
    work: Work = WORKS[int(rng.integers(len(WORKS)))]
    u = rng.random()
    caption = work.caption if u < 0.7 else work.title if u < 0.85 else f"by {work.artist}"
    return Captioned(work.picture, caption, "work")


def vocabulary() -> tuple[str, ...]:
    """Every word that a caption can hold, sorted: what the tokenizer is trained on."""
    parts = [*OBJECTS, *SCENES, *COLOURS, *(w.caption for w in WORKS)]
    parts += [s for obj in OBJECTS for s in styles_of(obj)]
    parts += ["a an and in on by style small picture background"]
    return tuple(sorted({word for part in parts for word in part.split()}))
