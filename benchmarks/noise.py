"""What decides a picture when the prompt is cut out early: how much of it comes from the starting noise.

    python benchmarks/noise.py                 # the twenty captions, five seeds; some minutes on one core
    python benchmarks/noise.py --captions 3 --seeds 2 --docs /tmp/pages

Pictures of different captions have nothing in common but the starting noise, where they share a seed. So what such
pictures share beyond pictures of different seeds is what the noise decides, here as a share of the variance: of the
layout (where something stands out from the background, in 8 × 8 squares) and of the palette (the mean colour). Beside
it stands how sure the judge is of what it sees. Intervals are over captions. Goes into docs/time.md.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from caption_branches import caption_branches
from jaxtyping import Float
from pages import fill, page_parser, parsed
from PIL import Image

import turpentine as tp
from turpentine.core.markdown import markdown_table
from turpentine.explain._codes import intervention
from turpentine.explain._image_stats import channels_first, foreground
from turpentine.explain._pages import spanned
from turpentine.explain._subjects import captions
from turpentine.judges import EmojiJudge
from turpentine.models.identity import describe
from turpentine.stats.intervals import Estimate, mean_score

LETTERS = ("q1", "q1.2", "p1.2", "q4", "oMID", "qALL")
STEPS, SQUARES, ROUNDS = 10, 8, 1000

Features = Float[np.ndarray, "caption seed feature"]


def layout(image: Image.Image) -> Float[np.ndarray, " feature"]:
    """How much of each square stands out from the background."""
    mask, across = foreground(image), image.height // SQUARES
    return mask.reshape(SQUARES, across, SQUARES, across).mean((1, 3)).ravel()


def palette(image: Image.Image) -> Float[np.ndarray, " feature"]:
    """The mean of each channel."""
    return channels_first(image).mean((1, 2))


def parts(features: Features) -> tuple[Float[np.ndarray, "caption other"], Float[np.ndarray, "caption other"]]:
    """By pair of captions: what pictures of one seed have in common beyond those of two, and all they differ by."""
    centred = features - features.mean((0, 1))
    products = np.einsum("asf,btf->abst", centred, centred)
    count = products.shape[2]
    same = np.einsum("abss->ab", products) / count
    other = (products.sum((2, 3)) - same * count) / (count * (count - 1))
    whole = np.diag(same)
    return same - other, (whole[:, None] + whole[None]) / 2 - other


def share(features: Features) -> Estimate:
    """The share of the variance that the starting noise decides, 0 to 1; its interval is over captions."""
    common, whole = parts(features)
    rng, count = np.random.default_rng(0), len(common)

    def ratio(chosen: Sequence[int]) -> float:
        apart = np.not_equal.outer(chosen, chosen)
        total = whole[np.ix_(chosen, chosen)][apart].sum()
        return max(0.0, float(common[np.ix_(chosen, chosen)][apart].sum() / total)) if total else float("nan")

    draws = [ratio(rng.integers(count, size=count)) for _ in range(ROUNDS)]
    low, high = np.nanpercentile(draws, [2.5, 97.5])
    return Estimate(ratio(range(count)), float(low), float(high))


def main() -> None:
    parser = page_parser(__doc__, keep="noise")
    parser.add_argument("--captions", type=int, default=20, help="how many of the captions")
    parser.add_argument("--seeds", type=int, default=5, help="pictures of each, two at least")
    args = parsed(parser)
    model, judge = tp.load(dtype=torch.float32), EmojiJudge()
    prompts = [subject.prompt for subject in captions()[: args.captions]]
    cuts, about = {code: intervention(model, code) for code in LETTERS}, [describe(model), STEPS]
    branches = caption_branches(model, cuts, prompts, args.seeds, args.keep, about, steps=STEPS)
    clusters = [(prompt,) for prompt in prompts for _ in range(args.seeds)]
    rows = []
    for name, images in branches.images.items():
        each = [np.array([of(image) for image in images]) for of in (layout, palette)]
        alike = [share(features.reshape(-1, args.seeds, features.shape[1])) for features in each]
        sure = mean_score(judge(images)["object_p"].to_list(), clusters=clusters)
        rows.append([name, *map(spanned, alike), spanned(sure)])
    head = ["", "layout from the noise, %", "palette from the noise, %", "the judge’s probability, %"]
    fill(args.docs / "time.md", {"noise": markdown_table(head, rows)})


if __name__ == "__main__":
    main()
