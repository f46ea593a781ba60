"""Measure the embedded model with its judge, and write its card: ``README.md`` and ``samples.png`` beside the weights.

python tools/model_card.py                   # 50 pictures a prompt
python tools/model_card.py --seeds 5 --out /tmp/card
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import torch
from card_cases import cases, percent
from PIL import Image

import turpentine as tp
from turpentine.bench.measurement import Measurement, measure
from turpentine.core.imaging import paste_rows
from turpentine.emoji import WEIGHTS
from turpentine.emoji.captions import Captioned, draw, object_caption, with_article
from turpentine.emoji.judge_network import ANSWERS, JudgeNet, load_judge
from turpentine.emoji.towers import Towers, load_towers
from turpentine.emoji.train.judge_stage import augmented, labelled
from turpentine.emoji.world import COLOURS, OBJECTS, STYLES, WORKS, render, styles_of
from turpentine.judges import EmojiJudge
from turpentine.models.loading.load import load
from turpentine.runs.protocol import Protocol
from turpentine.runs.specs import Pair
from turpentine.stats.intervals import Rate
from turpentine.tasks.cases import Case


@dataclass(frozen=True)
class Line:
    """A line of the card's table: hits over all its pictures, and each label's."""

    name: str
    total: Rate
    labels: dict[str, Rate]

    @property
    def worst(self) -> tuple[str, Rate]:
        return min(self.labels.items(), key=lambda item: item[1].value)


def lines(measured: Measurement) -> list[Line]:
    """The card's table."""
    rows = measured.rows
    unseen = rows.filter(pl.col("group") == "unseen").with_columns(
        hit=pl.col("hit") & (pl.col("style") == pl.col("label").str.split(", ").list.last())
    )
    named = pl.col("label").str.split(", ")
    two = rows.filter(pl.col("group") == "two").with_columns(
        hit=named.list.contains(pl.col("object")) & named.list.contains(pl.col("second"))
    )
    titles = {
        "ten": "object, the ten",
        "rest": "object, the other thirty",
        "style": "style",
        "colour": "background colour",
        "scene": "scenes show their object",
        "work": "works: the right picture",
    }
    found = [_line(title, rows.filter(pl.col("group") == group)) for group, title in titles.items()]
    return [*found, _line("two objects, both seen", two), _line("pairs never trained together: both right", unseen)]


def _line(name: str, rows: pl.DataFrame) -> Line:
    labels = {key[0]: Rate.of(part["hit"].to_list()) for key, part in rows.group_by("label", maintain_order=True)}
    total = Rate.of(rows["hit"].to_list())
    assert total is not None
    return Line(name, total, {str(label): rate for label, rate in labels.items() if rate is not None})


def autoencoder_db(model: tp.Model, pictures: int = 512) -> dict[str, float]:
    """PSNR of round trips of fresh renders, in dB: of all kinds of pictures, and of single full-size objects."""
    rng = np.random.default_rng(20_000)
    drawn = [draw(rng) for _ in range(pictures)]
    images = [Image.fromarray(render(item.picture)) for item in drawn]
    error = [np.square(_difference(a, b)).mean() for a, b in zip(images, round_trips(model, images), strict=True)]
    psnr = -10 * np.log10(error)
    full = np.array([item.kind == "object" for item in drawn])
    return {"all": float(psnr.mean()), "full": float(psnr[full].mean())}


def round_trips(model: tp.Model, images: Sequence[Image.Image]) -> list[Image.Image]:
    """The pictures after the autoencoder."""
    return [back for i in range(0, len(images), 64) for back in model.decode(model.encode_image(images[i : i + 64]))]


def _difference(a: Image.Image, b: Image.Image) -> np.ndarray:
    return (np.asarray(a, np.float64) - np.asarray(b, np.float64)) / 255


def same_answers(judge: EmojiJudge, model: tp.Model, pictures: int = 2000) -> dict[str, Rate]:
    """How often the judge says of a single object's picture what it said before the autoencoder."""
    rng = np.random.default_rng(50_000)
    kinds = ("object", "small", "unnamed")
    drawn = [item for item in (draw(rng) for _ in range(2 * pictures)) if item.kind in kinds][:pictures]
    images = [Image.fromarray(render(item.picture)) for item in drawn]
    before, after = judge(images), judge(round_trips(model, images))
    return {a: Rate.of((before[a] == after[a]).to_list()) for a in ANSWERS}  # type: ignore[misc]


def both_named(judge: EmojiJudge, model: tp.Model, pictures: int = 500) -> dict[str, Rate]:
    """How often the judge names both objects of a picture of two: true renders, then after the autoencoder."""
    rng = np.random.default_rng(60_000)
    drawn: list[Captioned] = []
    while len(drawn) < pictures:
        drawn += [item for item in (draw(rng) for _ in range(pictures)) if item.kind == "two"]
    images = [Image.fromarray(render(item.picture)) for item in drawn[:pictures]]
    wanted = [{placed.object for placed in item.picture.placed} for item in drawn]

    def rate(shown: Sequence[Image.Image]) -> Rate:
        seen = judge(shown)
        found = Rate.of([{a, b} == w for a, b, w in zip(seen["object"], seen["second"], wanted, strict=False)])
        assert found is not None
        return found

    return {"renders": rate(images), "after the autoencoder": rate(round_trips(model, images))}


def work_distances(model: tp.Model, measured: Measurement) -> tuple[float, float]:
    """Mean pixel distance (0 to 1) to the works: of pictures drawn by caption, and of the works' own round trips."""
    truth = {work.caption: Image.fromarray(render(work.picture)) for work in WORKS}
    drawn = [(truth[prompt], image) for (prompt, _), image in measured.images.items() if prompt in truth]
    back = list(zip(truth.values(), round_trips(model, list(truth.values())), strict=True))
    own, trips = (float(np.mean([np.abs(_difference(a, b)).mean() for a, b in pairs])) for pairs in (drawn, back))
    return own, trips


def style_entropy(measured: Measurement) -> tuple[float, float]:
    """Mean entropy, in bits, of the style drawn where the caption says only "a church": the model's and the world's."""
    rows = measured.rows.filter(pl.col("group").is_in(["ten", "rest"]))
    drawn = [_entropy(part["style"].to_list()) for _, part in rows.group_by("label")]
    return float(np.mean(drawn)), float(np.mean([math.log2(len(styles_of(obj))) for obj in OBJECTS]))


def _entropy(answers: Sequence[str]) -> float:
    return -sum(n / len(answers) * math.log2(n / len(answers)) for n in Counter(answers).values())


def judge_accuracy(judge: JudgeNet, model: tp.Model, pictures: int = 4000) -> dict[str, Rate]:
    """The judge on held-out renders, as they are and after the disturbances that it was trained with."""
    rng = np.random.default_rng(30_000)
    x, truth = labelled(rng, pictures, 32)
    single = truth.object.max(1).values == 1
    found = {f"{a}, renders": hits for a, hits in _hits(judge, x, truth, single).items()}
    x, truth = augmented(rng, x, truth, model.vae)
    single &= truth.object.max(1).values == 1
    return found | {f"{a}, disturbed": hits for a, hits in _hits(judge, x, truth, single).items()}


def _hits(judge: JudgeNet, x: torch.Tensor, truth, single: torch.Tensor) -> dict[str, Rate]:
    with torch.inference_mode():
        parts = [judge.logits(part) for part in x.split(256)]
    said = {a: torch.cat([part[a] for part in parts]).argmax(1) for a in ANSWERS}
    wanted = {"object": truth.object.argmax(1), "style": truth.style, "colour": truth.colour}
    asked = {"object": single, "style": single & (truth.style >= 0), "colour": truth.colour >= 0}
    return {a: Rate.of((said[a] == wanted[a])[asked[a]].tolist()) for a in ANSWERS}  # type: ignore[misc]


@torch.inference_mode()
def retrieval(towers: Towers, pictures: int = 400) -> dict[str, Rate]:
    """The towers on held-out renders: which of 40 objects, 8 styles, 10 colours a picture's nearest caption names."""
    rng = np.random.default_rng(40_000)
    x, truth = labelled(rng, pictures, 32)
    single = truth.object.max(1).values == 1
    seen = towers.of_images(x[single])
    said = {
        "object": seen @ towers.of_text([object_caption(obj) for obj in OBJECTS]).T,
        "style": seen @ towers.of_text([f"a picture in {style} style" for style in STYLES]).T,
        "colour": seen @ towers.of_text([f"a picture on {with_article(c)} background" for c in COLOURS]).T,
    }
    wanted = {"object": truth.object.argmax(1), "style": truth.style, "colour": truth.colour}
    return {a: Rate.of((said[a].argmax(1) == wanted[a][single]).tolist()) for a in said}  # type: ignore[misc]


def contact_sheet(measured: Measurement, rows: Sequence[Sequence[Pair]], scale: int = 3) -> Image.Image:
    """Rows of pictures by prompt and seed, enlarged."""
    side, gap = 32 * scale, 4
    sheet = Image.new("RGB", ((side + gap) * max(map(len, rows)) + gap, (side + gap) * len(rows) + gap), "white")
    paste_rows(sheet, [[measured.images[pair] for pair in row] for row in rows], (gap, gap), (side, side), gap)
    return sheet


def sheet_rows(asked: Sequence[Case]) -> list[list[Pair]]:
    """What the contact sheet shows: seed 0, but for the second row and the right half of the last."""
    first = {
        group: [(c.prompt, 0) for c in asked if c.group == group] for group in dict.fromkeys(c.group for c in asked)
    }
    return [
        first["ten"],
        [(prompt, 1) for prompt, _ in first["ten"]],
        *(first["rest"][i : i + 10] for i in (0, 10, 20)),
        (first["style"][::3] + first["style"][1::3])[:10],
        first["colour"],
        first["scene"][:10],
        first["work"],
        first["two"] + [(prompt, 1) for prompt, _ in first["two"]],
    ]


CARD = """# The embedded emoji model

A complete Stable Diffusion in the small: `CLIPTokenizer`, `CLIPTextModel`, `AutoencoderKL` (32 px → 8 × 8 × 4),
`UNet2DConditionModel` with the 16 cross-attention modules of SD 1, DDIM with SD's betas, ε-prediction, fp16.
`turpentine.load()` loads it; `diffusers.StableDiffusionPipeline.from_pretrained` loads this folder as it is.
Beside the pipeline lie the image tower and projection (`towers/`) and the judge (`judge/`).

{sizes}

![The ten; again with other seeds; the other thirty in three rows; styles; colours; scenes; works; two objects]\
(samples.png)

*Uncurated, seed 0 (second row and the right half of the last: further seeds): the ten, twice; the other thirty; eight
styles; ten background colours; scenes; works; two objects.*

## What it draws

{pictures} pictures, {protocol}, judged by the package's judge, which never saw a picture of this model. 95 % Wilson
intervals in brackets.

| what | hits | worst |
|---|---|---|
{table}

The ten: {ten}.

Styles: {styles}.

Where the caption leaves the style open, 50 seeds have {entropy}.

A drawn work is {distances} in mean pixel distance (of 255) from the work itself.

{fast_protocol}, seeds 0–{fast_last}:

| what | hits | 20 DDIM steps, same seeds |
|---|---|---|
{fast}

## Its parts

| part | measured on renders that no training has seen | |
|---|---|---|
{parts}

Made by `python -m turpentine.emoji train --preset cpu` (see `docs/training.md`); this card by
`python tools/model_card.py`.

## Licence

The weights are Apache-2.0, as the code. What they draw derives from sprites under Apache-2.0, MIT and CC BY 4.0;
`../data/ATTRIBUTION.md` names the artists.
"""


FAST = {"steps": 10, "solver": "dpm"}


def card(model: tp.Model, measured: Measurement, fast: Measurement, seeds: int, fast_seeds: int) -> str:
    """The card's text."""
    table = lines(measured)
    by_name = {line.name: line for line in table}
    counts = {part: sum(p.numel() for p in getattr(model, part).parameters()) for part in ("unet", "vae")}
    counts["text encoder"] = sum(p.numel() for p in model.pipeline.text_encoder.parameters())
    db = autoencoder_db(model)
    parts = [f"| autoencoder | full-size objects | {db['full']:.1f} dB |", f"| | all pictures | {db['all']:.1f} dB |"]
    eye = EmojiJudge()
    rates = {
        "autoencoder, the judge says the same after it": same_answers(eye, model),
        "towers, nearest caption": retrieval(load_towers(WEIGHTS)),
        "judge": judge_accuracy(load_judge(), model),
        "judge, both of two objects named": both_named(eye, model),
    }
    for part, found in rates.items():
        parts += [
            f"| {part} | {what} | {100 * r.value:.1f} % ({100 * r.low:.1f}–{100 * r.high:.1f}) |"
            for what, r in found.items()
        ]
    return CARD.format(
        sizes="Parameters: " + ", ".join(f"{part} {n / 1e6:.1f} M" for part, n in counts.items()) + ".",
        pictures=f"{len(measured.images):,}".replace(",", " "),
        protocol=f"20 DDIM steps, guidance 4, seeds 0–{seeds - 1} for each of {len(measured.images) // seeds} prompts",
        table="\n".join(f"| {t.name} | {percent(t.total)} | {t.worst[0]}: {percent(t.worst[1])} |" for t in table),
        entropy="{:.2f} bits of style on average, the world {:.2f}".format(*style_entropy(measured)),
        distances="{:.1f}, after the autoencoder alone {:.1f}".format(
            *(255 * d for d in work_distances(model, measured))
        ),
        fast_protocol=f"With {FAST['steps']} steps of DPM-Solver++ (2M)",
        fast_last=fast_seeds - 1,
        fast=_beside(fast, measured),
        ten=_listed(by_name["object, the ten"]),
        styles=_listed(by_name["style"]),
        parts="\n".join(parts),
    )


def _beside(fast: Measurement, measured: Measurement) -> str:
    """The table of a measurement with fewer seeds, and the full one's on the same seeds."""
    seeds = fast.rows["seed"].unique().to_list()
    same = Measurement(measured.rows.filter(pl.col("seed").is_in(seeds)), measured.images, measured.protocol)
    both = zip(lines(fast), lines(same), strict=True)
    return "\n".join(f"| {quick.name} | {percent(quick.total)} | {percent(full.total)} |" for quick, full in both)


def _listed(line: Line) -> str:
    return ", ".join(f"{label} {percent(rate)}" for label, rate in line.labels.items())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=50, help="pictures for each prompt")
    parser.add_argument("--fast-seeds", type=int, default=10, help="pictures for each prompt with the fast solver")
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    args = parser.parse_args()
    model, asked = load("emoji"), cases()

    def progress(done: int, total: int) -> None:
        print(f"\r{done} of {total} pictures", end="", file=sys.stderr, flush=True)

    protocol = Protocol(seeds=tuple(range(args.seeds)), batch_size=50)
    measured = measure(model, asked, EmojiJudge(), protocol, progress=progress)
    fast = measure(model, asked, EmojiJudge(), Protocol(seeds=tuple(range(args.fast_seeds)), batch_size=50, **FAST))
    table = lines(measured)
    args.out.mkdir(parents=True, exist_ok=True)
    contact_sheet(measured, sheet_rows(asked)).save(args.out / "samples.png", optimize=True)
    (args.out / "README.md").write_text(card(model, measured, fast, args.seeds, args.fast_seeds))
    counted = {line.name: {label: [r.hits, r.n] for label, r in line.labels.items()} for line in table}
    facts = {"fingerprint": model.fingerprint, "lines": counted}
    (args.out / "card.json").write_text(json.dumps(facts, indent=1))
    print(
        "\n"
        + "\n".join(
            f"{line.name:45}{percent(line.total):20}worst {line.worst[0]}: {percent(line.worst[1])}" for line in table
        )
    )


if __name__ == "__main__":
    main()
