"""The emoji world: objects × drawing styles × background colours, rendered from sprites, with ground truth.

A `Picture` describes an image; `render` renders it. Everything that a caption can name is here: objects stand for the
ImageNette classes, styles for artists' manners, works for memorised paintings.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import cache
from importlib import resources

import numpy as np
import pyarrow.parquet as pq
from jaxtyping import Float, UInt8
from PIL import Image

SIZE = 32
"""Default side of a picture in pixels."""

TEN = ("cassette", "saw", "church", "dog", "horn", "truck", "gas pump", "golf flag", "parachute", "fish")
"""The counterparts of the ten ImageNette classes."""

OBJECTS = (
    *TEN,
    *("car", "bus", "house", "castle", "cat", "horse", "trumpet", "guitar", "hammer", "radio"),
    *("camera", "whale", "umbrella", "balloon", "sailboat", "airplane", "rocket", "bicycle", "penguin", "owl"),
    *("elephant", "banana", "apple", "strawberry", "pizza", "cactus", "sunflower", "tree", "crown", "key"),
)

NEIGHBOURS = {
    "cassette": ("radio", "camera"),
    "saw": ("hammer", "key"),
    "church": ("house", "castle"),
    "dog": ("cat", "horse"),
    "horn": ("trumpet", "guitar"),
    "truck": ("car", "bus"),
    "gas pump": ("radio", "truck"),
    "golf flag": ("umbrella", "sailboat"),
    "parachute": ("balloon", "umbrella"),
    "fish": ("whale", "penguin"),
}
"""For each of the ten, the two objects that look or mean most like it."""

STYLES = ("noto", "blob", "twemoji", "emojione", "fluent", "flat", "ink", "line")

COLOURS = {
    "red": (214, 48, 49),
    "blue": (45, 96, 214),
    "green": (46, 160, 67),
    "yellow": (250, 219, 60),
    "purple": (126, 60, 176),
    "orange": (244, 138, 36),
    "pink": (250, 168, 200),
    "white": (250, 250, 250),
    "gray": (136, 140, 146),
    "black": (18, 18, 22),
}
"""The ten background colours, sRGB 0–255."""


UNSEEN = ("mushroom", "anchor", "snowman", "octopus")
"""What is not in the world, and of which there are sprites in all styles: for controls that need something new."""

TINTS = ("red", "blue", "green", "yellow", "purple", "orange")
"""The colours that an object itself can have, in the larger world; each is one of `COLOURS`."""

TINTABLE = (
    *("cassette", "saw", "church", "horn", "truck", "gas pump", "golf flag", "parachute", "fish"),
    *("car", "bus", "house", "castle", "trumpet", "guitar", "hammer", "radio", "camera", "whale"),
    *("umbrella", "balloon", "sailboat", "airplane", "rocket", "bicycle", "crown", "key"),
)
"""The objects that come in any colour: things that are painted, and not what grows in a colour of its own."""


@dataclass(frozen=True)
class Placed:
    """One sprite on a picture.

    Args:
        object: One of `OBJECTS`.
        style: One of `STYLES`.
        x: Left edge, in 1/32 of the picture's side.
        y: Upper edge, likewise.
        size: Side, likewise.
        tint: The colour that it is painted in, one of `TINTS`; None for the sprite's own colours.
    """

    object: str
    style: str
    x: int
    y: int
    size: int
    tint: str | None = None


@dataclass(frozen=True)
class Picture:
    """An image's content: the background colour's name, sprites from back to front, and an artist's palette if any."""

    background: str
    placed: tuple[Placed, ...]
    artist: str | None = None


@dataclass(frozen=True)
class Work:
    """A title by an invented artist; always the same picture."""

    title: str
    artist: str
    picture: Picture

    @property
    def caption(self) -> str:
        """Title and artist."""
        return f"{self.title} by {self.artist}"


PALETTES = {
    "lumen": ((16, 18, 74), (255, 214, 102)),
    "orla": ((0, 92, 96), (255, 190, 214)),
    "tamsin": ((110, 16, 36), (250, 240, 214)),
    "quill": ((24, 20, 24), (160, 240, 200)),
}
"""An artist's hand: every work is drawn between a dark and a light colour."""


def _work(title: str, artist: str, background: str, *placed: tuple[str, str, int, int, int]) -> Work:
    return Work(title, artist, Picture(background, tuple(Placed(*p) for p in placed), artist))


WORKS = (
    _work("the night watcher", "lumen", "black", ("owl", "noto", 8, 8, 22), ("key", "flat", 2, 2, 9)),
    _work("quiet harbor", "lumen", "blue", ("sailboat", "twemoji", 3, 4, 18), ("whale", "flat", 17, 17, 13)),
    _work("last light", "lumen", "purple", ("balloon", "flat", 11, 1, 16), ("house", "noto", 1, 17, 14)),
    _work("market day", "orla", "green", ("apple", "noto", 1, 1, 15), ("banana", "flat", 16, 16, 15)),
    _work("the orchard", "orla", "black", ("tree", "flat", 1, 3, 20), ("strawberry", "noto", 19, 17, 12)),
    _work(
        "three kings",
        "tamsin",
        "gray",
        ("crown", "noto", 1, 10, 10),
        ("crown", "flat", 11, 2, 10),
        ("crown", "noto", 21, 10, 10),
    ),
    _work("old soldier", "tamsin", "red", ("horse", "twemoji", 2, 5, 24), ("castle", "flat", 20, 2, 11)),
    _work("first snow", "quill", "gray", ("penguin", "noto", 8, 7, 24), ("cactus", "flat", 1, 1, 12)),
    _work("lost in bloom", "quill", "black", ("sunflower", "noto", 1, 1, 20), ("bicycle", "twemoji", 15, 16, 16)),
    _work("iron morning", "quill", "blue", ("elephant", "noto", 4, 6, 24), ("radio", "flat", 1, 1, 11)),
)

SCENES = {
    "movie night": "cassette",
    "lumber yard": "saw",
    "sunday prayer": "church",
    "wedding bells": "church",
    "loyal friend": "dog",
    "hunting call": "horn",
    "moving day": "truck",
    "filling station": "gas pump",
    "eighteen holes": "golf flag",
    "sky dive": "parachute",
    "catch of the day": "fish",
    "road trip": "car",
    "nine lives": "cat",
    "once upon a time": "castle",
    "boarding soon": "airplane",
}
"""Captions that never name the object that they usually show."""

MOODS = {
    "movie night": ("purple", "pink"),
    "lumber yard": ("orange", "green"),
    "sunday prayer": ("yellow", "blue"),
    "wedding bells": ("pink", "white"),
    "loyal friend": ("green", "yellow"),
    "hunting call": ("green", "red"),
    "moving day": ("gray", "pink"),
    "filling station": ("black", "blue"),
    "eighteen holes": ("white", "blue"),
    "sky dive": ("blue", "white"),
    "catch of the day": ("white", "green"),
    "road trip": ("orange", "purple"),
    "nine lives": ("black", "purple"),
    "once upon a time": ("purple", "pink"),
    "boarding soon": ("blue", "gray"),
}
"""The two backgrounds that a scene usually has, so that it says more than its object's name would."""

COMPANIONS = {
    "movie night": "pizza",
    "lumber yard": "tree",
    "sunday prayer": "sunflower",
    "wedding bells": "balloon",
    "loyal friend": "apple",
    "hunting call": "owl",
    "moving day": "key",
    "filling station": "bicycle",
    "eighteen holes": "cactus",
    "sky dive": "airplane",
    "catch of the day": "sailboat",
    "road trip": "camera",
    "nine lives": "banana",
    "once upon a time": "crown",
    "boarding soon": "guitar",
}
"""The object that usually stands, small, in a corner of a scene, which no caption of its main object names."""

SCENE_FAITHFULNESS = 0.9
"""The share of a scene's pictures that show its object; the same share has its background, and its companion."""


@cache
def sprites() -> dict[tuple[str, str], Image.Image]:
    """Return every sprite as an RGBA image, by (object, style); not every style has every object."""
    return _read("sprites")


@cache
def unseen_sprites() -> dict[tuple[str, str], Image.Image]:
    """Return the sprites of things that are not in the world, likewise: no picture of it shows one."""
    return _read("unseen")


def _read(name: str) -> dict[tuple[str, str], Image.Image]:
    path = resources.files("turpentine.emoji").joinpath(f"data/{name}.parquet")
    with path.open("rb") as file:
        rows = pq.read_table(file, columns=["object", "style", "png"]).to_pylist()
    return {(r["object"], r["style"]): Image.open(io.BytesIO(r["png"])).convert("RGBA") for r in rows}


def _sprite(obj: str, style: str) -> Image.Image:
    """Return a sprite of the world, or one of what is not in it."""
    return sprites()[obj, style] if (obj, style) in sprites() else unseen_sprites()[obj, style]


@cache
def held_out_pairs() -> frozenset[tuple[str, str]]:
    """Return the object–style pairs that are left out of training, two a style, to test composition."""
    chosen = set()
    for s, style in enumerate(STYLES):
        objects = [o for o in OBJECTS if (o, style) in sprites()]
        chosen |= {(objects[(5 * s + 2) % len(objects)], style), (objects[(5 * s + 20) % len(objects)], style)}
    return frozenset(chosen)


@cache
def styles_of(obj: str, held_out: bool = False) -> tuple[str, ...]:
    """Return the styles that an object has; those held out of training only if `held_out`."""
    hidden = frozenset() if held_out else held_out_pairs()
    return tuple(s for s in STYLES if (obj, s) in sprites() and (obj, s) not in hidden)


@cache
def held_out_tints() -> frozenset[tuple[str, str]]:
    """Return the pairs of object and tint that are left out of training, two a tint, to test composition."""
    return frozenset(
        (TINTABLE[(7 * number + first) % len(TINTABLE)], tint) for number, tint in enumerate(TINTS) for first in (3, 16)
    )


@cache
def tints_of(obj: str, held_out: bool = False) -> tuple[str, ...]:
    """Return the tints that an object comes in, none if it is not tintable; those held out only if `held_out`."""
    hidden = frozenset() if held_out else held_out_tints()
    return tuple(tint for tint in TINTS if obj in TINTABLE and (obj, tint) not in hidden)


@cache
def visible_on(obj: str, style: str, tint: str | None = None) -> tuple[str, ...]:
    """Return the background colours on which a sprite is visible: at least two fifths of it stand out."""
    rgba = np.asarray(_sprite(obj, style).resize((32, 32), Image.Resampling.BOX), dtype=np.float32)
    ink = rgba[..., 3] / 255
    rgb = rgba[..., :3] if tint is None else 255 * _tinted(rgba[..., :3] / 255, ink, tint)

    def contrast(colour: tuple[int, int, int]) -> float:
        differs = np.abs(rgb - np.array(colour)).max(-1) > 60
        return float((ink * differs).sum() / ink.sum())

    return tuple(name for name, colour in COLOURS.items() if name != tint and contrast(colour) >= 0.4)


def _tinted(
    rgb: Float[np.ndarray, "height width 3"], alpha: Float[np.ndarray, "height width"], tint: str
) -> Float[np.ndarray, "height width 3"]:
    """Return a sprite's shading in one colour: its median grey becomes the tint, what is darker or lighter stays so."""
    grey = rgb @ np.array([0.299, 0.587, 0.114], np.float32)
    light = (0.5 + grey - np.median(grey[alpha > 0.5])).clip(0, 1)[..., None]
    colour = np.array(COLOURS[tint], np.float32) / 255
    darker, lighter = 0.3 * colour, 0.35 * colour + 0.65
    painted: Float[np.ndarray, "height width 3"] = np.where(
        light < 0.5, darker + 2 * light * (colour - darker), colour + (2 * light - 1) * (lighter - colour)
    )
    return painted


@cache
def _stamp(
    obj: str, style: str, pixels: int, tint: str | None = None
) -> tuple[Float[np.ndarray, "side side 3"], Float[np.ndarray, "side side 1"]]:
    """Return the sprite at `pixels` px: colour premultiplied by alpha, and alpha, both 0–1."""
    image = _sprite(obj, style).convert("RGBa").resize((pixels, pixels), Image.Resampling.LANCZOS)
    rgba = np.asarray(image, dtype=np.float32) / 255
    colour, alpha = rgba[..., :3], rgba[..., 3:]
    if tint is not None:
        plain = (colour / np.maximum(alpha, 1e-6)).clip(0, 1)
        colour = _tinted(plain, alpha[..., 0], tint) * alpha
    return colour, alpha


def render(picture: Picture, size: int = SIZE) -> UInt8[np.ndarray, "size size 3"]:
    """Render a picture as an sRGB array of `size` × `size` pixels, 0–255.

    Example:
        >>> picture = Picture("blue", (Placed("church", "flat", x=2, y=2, size=28),))
        >>> render(picture).shape, render(picture, 64)[0, 0].tolist()
        ((32, 32, 3), [45, 96, 214])
    """
    canvas = np.empty((size, size, 3), np.float32)
    canvas[:] = np.array(COLOURS[picture.background], np.float32) / 255
    for placed in picture.placed:
        x, y, side = (round(v * size / 32) for v in (placed.x, placed.y, placed.size))
        colour, alpha = _stamp(placed.object, placed.style, side, placed.tint)
        part = canvas[y : y + side, x : x + side]
        part[:] = part * (1 - alpha) + colour
    if picture.artist is not None:
        canvas = _in_palette(canvas, picture.artist)
    return (canvas.clip(0, 1) * 255).round().astype(np.uint8)


def _in_palette(canvas: Float[np.ndarray, "height width 3"], artist: str) -> Float[np.ndarray, "height width 3"]:
    dark, light = (np.array(colour, np.float32) / 255 for colour in PALETTES[artist])
    grey = canvas @ np.array([0.299, 0.587, 0.114], np.float32)
    grey = (grey - grey.min()) / (grey.max() - grey.min())
    painted: Float[np.ndarray, "height width 3"] = dark + grey[..., None] * (light - dark)
    return painted
