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
    TINTABLE,
    TINTS,
    WORKS,
    Picture,
    Placed,
    Work,
    styles_of,
    tints_of,
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

LARGER = Mixture(
    {
        **{"object": 0.34, "small": 0.05, "two": 0.2, "scene": 0.08, "work": 0.05, "unnamed": 0.03},
        **{"tinted": 0.12, "relation": 0.13},
    },
    0.75,
    0.5,
)
"""The larger world's mixture: objects with a colour of their own, and two objects in a relation, as well."""

LARGER_HARD = Mixture(
    {
        **{"object": 0.29, "small": 0.04, "two": 0.22, "scene": 0.08, "work": 0.05, "unnamed": 0.04},
        **{"tinted": 0.12, "relation": 0.16},
    },
    0.55,
    0.5,
)
"""The larger world's mixture for what the denoiser learns last."""

RELATIONS = ("left of", "right of", "above", "under")
"""How the first object of a caption can stand to the second."""


@dataclass(frozen=True)
class Captioned:
    """A picture, its caption, and the caption's kind (a key of `Mixture.kinds`)."""

    picture: Picture
    caption: str
    kind: str


def object_caption(
    obj: str, style: str | None = None, colour: str | None = None, *, small: bool = False, tint: str | None = None
) -> str:
    """Return the caption of an object, with a style, a background colour and a colour of its own if given.

    Example:
        >>> object_caption("church", "flat", "blue", small=True)
        'a small church in flat style on a blue background'
        >>> object_caption("car", tint="red")
        'a red car'
    """
    caption = with_article(_noun(obj, small=small, tint=tint))
    if style is not None:
        caption += f" in {style} style"
    if colour is not None:
        caption += f" on {with_article(colour)} background"
    return caption


def pair_caption(left: str, right: str) -> str:
    """Return the caption of two objects side by side.

    Example:
        >>> pair_caption("owl", "dog")
        'an owl and a dog'
    """
    return f"{with_article(left)} and {with_article(right)}"


def _noun(obj: str, *, small: bool = False, tint: str | None = None) -> str:
    return " ".join(word for word in ("small" if small else None, tint, obj) if word)


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
        case "tinted":
            return _draw_tinted(rng, mixture)
        case "relation":
            return _draw_relation(rng, mixture)
        case _:
            return _draw_one(rng, kind, mixture)


Draw = Callable[[np.random.Generator, Mixture], Captioned]
"""Draws captioned pictures: `draw`, or an oracle's method of that name."""


def stream(seed: int, mixture: Mixture = WORLD) -> Iterator[Captioned]:
    """Yield captioned pictures without end; equal seeds give equal streams.

    Example:
        >>> next(stream(0)) == next(stream(0))
        True
    """
    rng = np.random.default_rng(seed)
    while True:
        yield draw(rng, mixture)


def single_picture(
    rng: np.random.Generator,
    obj: str,
    style: str | None = None,
    colour: str | None = None,
    *,
    small: bool = False,
    held_out: bool = False,
    tint: str | None = None,
) -> Picture:
    """Draw a picture of one object at a random place and size.

    Args:
        rng: Generator of all random choices.
        obj: One of `OBJECTS`.
        style: One of `STYLES`; random if None.
        colour: A background colour; random if None. A given one is used even if it hides the object: see `visible_on`.
        small: Whether the object is half as large.
        held_out: Whether styles that training never shows for this object may be drawn.
        tint: The colour of the object itself, one of `TINTS`; None for the sprite's own colours.
    """
    style = style or _pick(rng, styles_of(obj, held_out))
    colour = colour or _pick(rng, visible_on(obj, style, tint))
    size = int(rng.integers(13, 17)) if small else int(rng.integers(26, 31))
    x, y = (int(v) for v in rng.integers(0, 32 - size + 1, 2))
    return Picture(colour, (Placed(obj, style, x, y, size, tint),))


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
    placed = _side_by_side(rng, (left, right), style)
    colour = _pick(rng, colours)
    caption = pair_caption(left, right) + _tail(rng, style, colour, mixture)
    return Captioned(Picture(colour, placed), caption, "two")


def pair_picture(rng: np.random.Generator, objects: tuple[str, str], style: str, colour: str) -> Picture:
    """Draw two objects side by side, as captions with "and" mean them.

    Args:
        rng: Generator of all random choices.
        objects: From left to right, each one of `OBJECTS`.
        style: One that both have.
        colour: Of the background.
    """
    return Picture(colour, _side_by_side(rng, objects, style))


def _side_by_side(rng: np.random.Generator, objects: tuple[str, str], style: str) -> tuple[Placed, ...]:
    placed = []
    for side, obj in enumerate(objects):
        size = int(rng.integers(14, 17))
        placed.append(Placed(obj, style, 16 * side + (16 - size) // 2, int(rng.integers(4, 29 - size)), size))
    return tuple(placed)


def _draw_tinted(rng: np.random.Generator, mixture: Mixture) -> Captioned:
    obj = _pick(rng, TINTABLE)
    tint = _pick(rng, tints_of(obj))
    small = bool(rng.random() < 0.1)
    picture = single_picture(rng, obj, small=small, tint=tint)
    tail = _tail(rng, picture.placed[0].style, picture.background, mixture)
    return Captioned(picture, with_article(_noun(obj, small=small, tint=tint)) + tail, "tinted")


def _draw_relation(rng: np.random.Generator, mixture: Mixture) -> Captioned:
    while (picture := related_picture(rng, *_two_objects(rng), relation := _pick(rng, RELATIONS))) is None:
        pass
    tail = _tail(rng, picture.placed[0].style, picture.background, mixture)
    return Captioned(picture, relation_caption(picture, relation) + tail, "relation")


def _two_objects(rng: np.random.Generator) -> tuple[str, str]:
    one, other = (OBJECTS[int(i)] for i in rng.choice(len(OBJECTS), 2, replace=False))
    return one, other


def related_picture(rng: np.random.Generator, one: str, other: str, relation: str) -> Picture | None:
    """Draw `one` in a relation to `other`, in one style, either small or with a colour of its own at times.

    Args:
        rng: Generator of all random choices.
        one: One of `OBJECTS`.
        other: Another.
        relation: One of `RELATIONS`.

    Returns:
        The picture, `one` its first sprite; None where no background shows both in the style and colours drawn.
    """
    shared = tuple(style for style in styles_of(one) if style in styles_of(other))
    if not shared:
        return None
    style = _pick(rng, shared)
    tints = tuple(_pick(rng, tints_of(obj)) if tints_of(obj) and rng.random() < 0.35 else None for obj in (one, other))
    visible = [visible_on(obj, style, tint) for obj, tint in zip((one, other), tints, strict=True)]
    colours = tuple(colour for colour in visible[0] if colour in visible[1])
    if not colours:
        return None
    small = int(rng.integers(2)) if rng.random() < 0.4 else None
    placed = []
    for number, (obj, tint) in enumerate(zip((one, other), tints, strict=True)):
        size = int(rng.integers(8, 11)) if number == small else int(rng.integers(14, 17))
        first = (number == 0) == (relation in ("left of", "above"))
        along = (16 - size) // 2 + (0 if first else 16)
        across = int(rng.integers(3, 30 - size))
        x, y = (along, across) if relation.endswith("of") else (across, along)
        placed.append(Placed(obj, style, x, y, size, tint))
    return Picture(_pick(rng, colours), tuple(placed))


def relation_caption(picture: Picture, relation: str) -> str:
    """Return "a small dog under a red church": the picture's two objects, as they look, and how they stand.

    Example:
        >>> placed = (Placed("dog", "flat", 4, 2, 9), Placed("church", "flat", 8, 16, 15, "red"))
        >>> relation_caption(Picture("blue", placed), "above")
        'a small dog above a red church'
    """
    one, other = (with_article(_noun(each.object, small=each.size < 12, tint=each.tint)) for each in picture.placed)
    return f"{one} {relation} {other}"


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


def vocabulary(mixture: Mixture = WORLD) -> tuple[str, ...]:
    """Return every word that a caption of a mixture can hold, sorted; the tokenizer is trained on them."""
    parts = [*RELATIONS, *TINTS] if "relation" in mixture.kinds else []
    parts += [*OBJECTS, *SCENES, *COLOURS, *(w.caption for w in WORKS)]
    parts += [s for obj in OBJECTS for s in styles_of(obj)]
    parts += ["a an and in on by style small picture background"]
    return tuple(sorted({word for part in parts for word in part.split()}))
