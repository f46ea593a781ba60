"""Turn eight permissively licensed emoji sets into the sprites of the emoji world.

Run it with Node's `npm` on the PATH (or point `--packages` at already packed `.tgz` files)::

    pip install resvg-py pyarrow pillow
    python tools/build_sprites.py

It writes `src/turpentine/emoji/data/sprites.parquet`, of what the world is made of, `unseen.parquet`, of things that
no picture of it shows, and `ATTRIBUTION.md` beside them; the same package versions give the same bytes again.
"""

from __future__ import annotations

import argparse
import io
import json
import subprocess
import tarfile
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import resvg_py
from PIL import Image

SIZE = 96
DATA = Path(__file__).parent.parent / "src" / "turpentine" / "emoji" / "data"

# style -> (npm package, version). The styles' plain names are the words that captions use.
STYLES = {
    "noto": ("@iconify-json/noto", "1.2.9"),
    "blob": ("@iconify-json/noto-v1", "1.2.5"),
    "twemoji": ("@iconify-json/twemoji", "1.2.5"),
    "emojione": ("@iconify-json/emojione", "1.2.3"),
    "fluent": ("@iconify-json/fluent-emoji", "1.2.7"),
    "flat": ("@iconify-json/fluent-emoji-flat", "1.2.6"),
    "ink": ("@iconify-json/fluent-emoji-high-contrast", "1.2.6"),
    "line": ("@iconify-json/streamline-emojis", "1.2.4"),
}

# object -> icon name in most sets; LINE_NAMES holds what the "line" set calls differently.
OBJECTS = {
    "cassette": "videocassette",
    "saw": "carpentry-saw",
    "church": "church",
    "dog": "dog",
    "horn": "postal-horn",
    "truck": "delivery-truck",
    "gas pump": "fuel-pump",
    "golf flag": "flag-in-hole",
    "parachute": "parachute",
    "fish": "fish",
    "car": "automobile",
    "bus": "bus",
    "house": "house",
    "castle": "castle",
    "cat": "cat",
    "horse": "horse",
    "trumpet": "trumpet",
    "guitar": "guitar",
    "hammer": "hammer",
    "radio": "radio",
    "camera": "camera",
    "whale": "whale",
    "umbrella": "umbrella",
    "balloon": "balloon",
    "sailboat": "sailboat",
    "airplane": "airplane",
    "rocket": "rocket",
    "bicycle": "bicycle",
    "penguin": "penguin",
    "owl": "owl",
    "elephant": "elephant",
    "banana": "banana",
    "apple": "red-apple",
    "strawberry": "strawberry",
    "pizza": "pizza",
    "cactus": "cactus",
    "sunflower": "sunflower",
    "tree": "deciduous-tree",
    "crown": "crown",
    "key": "key",
}
# What is in no world: controls of attacks need something that no model of it has seen.
UNSEEN = {"mushroom": "mushroom", "anchor": "anchor", "snowman": "snowman", "octopus": "octopus"}
LINE_NAMES = {
    "house": "house-with-garden",
    "strawberry": "strawberry-1",
    "pizza": "pizza-1",
    "cactus": "cactus-1",
    "sunflower": "sunflower-1",
    "penguin": "penguin-1",
    "whale": "spouting-whale",
}


def fetch(package: str, version: str, folder: Path) -> Path:
    """The packed package in `folder`, asked of npm when it is not there yet."""
    path = folder / f"{package.removeprefix('@').replace('/', '-')}-{version}.tgz"
    if not path.exists():
        subprocess.run(["npm", "pack", f"{package}@{version}"], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return path


def read_package(path: Path) -> tuple[dict, dict]:
    """`icons.json` and `info.json` of a packed Iconify set."""
    with tarfile.open(path) as tar:

        def member(name: str) -> dict:
            file = tar.extractfile(f"package/{name}")
            assert file is not None, name
            return json.load(file)

        return member("icons.json"), member("info.json")


def icon_svg(icons: dict, name: str) -> str | None:
    """The SVG of one icon, aliases followed; None where the set has no such icon."""
    name = icons.get("aliases", {}).get(name, {}).get("parent", name)
    icon = icons["icons"].get(name)
    if icon is None:
        return None
    width, height = (icon.get(side, icons.get(side, 16)) for side in ("width", "height"))
    body = icon["body"].replace("currentColor", "#101010")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'viewBox="{icon.get("left", 0)} {icon.get("top", 0)} {width} {height}" '
        f'width="{width}" height="{height}">{body}</svg>'
    )


def render(svg: str) -> bytes:
    """A `SIZE` × `SIZE` RGBA PNG, cropped to what is drawn and centred on the square."""
    drawn = Image.open(io.BytesIO(resvg_py.svg_to_bytes(svg_string=svg, width=4 * SIZE))).convert("RGBA")
    box = drawn.getchannel("A").point(lambda a: 255 if a > 8 else 0).getbbox()
    assert box is not None, "an icon that draws nothing"
    drawn = drawn.crop(box)
    scale = SIZE / max(drawn.size)
    # Premultiplied resampling: colours of transparent pixels must not bleed into the edge.
    size = (max(1, round(drawn.width * scale)), max(1, round(drawn.height * scale)))
    drawn = drawn.convert("RGBa").resize(size, Image.Resampling.LANCZOS).convert("RGBA")
    square = Image.new("RGBA", (SIZE, SIZE))
    square.paste(drawn, ((SIZE - drawn.width) // 2, (SIZE - drawn.height) // 2))
    out = io.BytesIO()
    square.save(out, "PNG", optimize=True)
    return out.getvalue()


def collect(folder: Path, objects: dict[str, str]) -> tuple[list[dict], list[str]]:
    """One row per sprite, and one attribution line per set."""
    rows, credits = [], []
    for style, (package, version) in STYLES.items():
        icons, info = read_package(fetch(package, version, folder))
        licence, author = info["license"], info["author"]
        credits.append(
            f"| {style} | `{package}` {version} | [{author['name']}]({author['url']}) "
            f"| [{licence['title']}]({licence['url']}) |"
        )
        for name, icon in objects.items():
            svg = icon_svg(icons, LINE_NAMES.get(name, icon) if style == "line" else icon)
            if svg is None:
                continue
            rows.append(
                {
                    "object": name,
                    "style": style,
                    "png": render(svg),
                    "package": package,
                    "version": version,
                    "licence": licence["spdx"],
                }
            )
    return rows, credits


def attribution(credits: list[str]) -> str:
    table = "\n".join(credits)
    return f"""# Where the sprites come from

The sprites in `sprites.parquet` were rendered at {SIZE} px from these sets by `tools/build_sprites.py`, and so were
those in `unseen.parquet`, of things that are not in the world.
What was changed: each is cropped to what is drawn, resized and centred, and what an icon leaves to the text's colour is
near black (#101010). When a picture of the world is drawn they are scaled, and in the works recoloured. Each row names
its package, version and licence.

| style | package | drawn by | licence |
|---|---|---|---|
{table}

The Apache-2.0 text is the repository's `LICENSE`. CC BY 4.0: <https://creativecommons.org/licenses/by/4.0/>.

The MIT licence of the fluent sets:

> Copyright (c) Microsoft Corporation.
>
> Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated
> documentation files (the "Software"), to deal in the Software without restriction, including without limitation the
> rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit
> persons to whom the Software is furnished to do so, subject to the following conditions:
>
> The above copyright notice and this permission notice shall be included in all copies or substantial portions of the
> Software.
>
> THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE
> WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR
> COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR
> OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--packages", type=Path, help="a folder that holds, or is to hold, the packed npm packages")
    parser.add_argument("--out", type=Path, default=DATA)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = (args.packages or Path(temporary)).resolve()
        rows, credits = collect(folder, OBJECTS)
        unseen, _ = collect(folder, UNSEEN)
    args.out.mkdir(parents=True, exist_ok=True)
    for each, name in ((rows, "sprites"), (unseen, "unseen")):
        pq.write_table(pa.Table.from_pylist(each), args.out / f"{name}.parquet", compression="zstd")
    (args.out / "ATTRIBUTION.md").write_text(attribution(credits))
    print(f"{len(rows)} sprites of {len(OBJECTS)} objects in {len(STYLES)} styles")


if __name__ == "__main__":
    main()
