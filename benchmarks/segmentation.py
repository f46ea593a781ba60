"""How well attention maps segment what a word names, beside two baselines and the best that such a map could do.

    python benchmarks/segmentation.py                 # small, large and two objects; some minutes on one core
    python benchmarks/segmentation.py --prompts 1 --seeds 1 --docs /tmp/pages

The truth is what stands out from the background; of two objects side by side, in its own half. The baselines see the
finished picture alone, and were trained on no mask, as the maps were not: the class-activation map (Grad-CAM, Selvaraju
et al. 2017) of the world's judge for the object's label, and that of the similarity of the world's image and text
towers. Both are of 8 × 8, as the sharpest attention maps. The last line is the truth itself, brought to 8 × 8 and back.
Goes into docs/words.md; intervals are over prompts.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence

import torch
from jaxtyping import Float
from pages import fill, page_parser, parsed
from PIL import Image
from torch import Tensor

import turpentine as tp
from turpentine.concepts import with_article
from turpentine.core.formatting import with_span
from turpentine.core.markdown import markdown_table
from turpentine.emoji import WEIGHTS
from turpentine.emoji.judge_network import ANSWERS, load_judge
from turpentine.emoji.towers import load_towers
from turpentine.emoji.vision import SmallCNN, images_to_tensor
from turpentine.emoji.world import SIZE
from turpentine.explain._image_stats import foreground
from turpentine.explain._masks import Heat, Mask, agreement
from turpentine.explain._pages import spanned
from turpentine.explain._subjects import WORLD, Subject
from turpentine.explain._word_pages import _by_layers
from turpentine.explain.maps import Maps
from turpentine.stats.intervals import Rate, mean_score

SETS = {"small": "a small object", "captions": "a large object", "pairs": "one of two objects"}
LAYERS = {"HIGHRES": "attention at 8 × 8", "UP6": "attention at 4 × 4 (UP6)", "ALL": "attention of all layers"}
STAGE = 3
"""Of the networks' stages, the last that has 8 × 8 places."""

SHARE, RULE = 0.4, "range"
"""Of a mask: DAAM's threshold, and what it is a share of."""


def class_activation(
    network: SmallCNN,
    x: Float[Tensor, "batch 3 height width"],
    score: Callable[[Float[Tensor, "batch out"]], Float[Tensor, " batch"]],
) -> Float[Tensor, "batch side side"]:
    """Grad-CAM: the channels of a stage, each times its mean gradient of the score, summed; nothing below 0."""
    outputs: list[Tensor] = []
    handle = network.stages[STAGE].register_forward_hook(lambda _, __, output: outputs.append(output))
    try:
        with torch.enable_grad():
            value = score(network(x.detach().requires_grad_())).sum()
            (gradient,) = torch.autograd.grad(value, outputs)
    finally:
        handle.remove()
    weights = gradient.mean((2, 3), keepdim=True)
    return (weights * outputs[0].detach()).sum(1).clamp(min=0)


class Baselines:
    """Maps of pictures that were not drawn with them: of the judge's label, and of the towers' similarity."""

    def __init__(self) -> None:
        self.judge, self.towers = load_judge(), load_towers(WEIGHTS)

    def label(self, images: Sequence[Image.Image], words: Sequence[str]) -> list[Heat]:
        """Where the judge's network sees a label."""
        at = torch.tensor([[ANSWERS["object"].index(word)] for word in words])  # objects are the first of its answers
        return self._maps(self.judge.network, images, lambda logits: logits.gather(1, at)[:, 0])

    def similarity(self, images: Sequence[Image.Image], words: Sequence[str]) -> list[Heat]:
        """Where the image tower sees what makes a picture like a text."""
        with torch.no_grad():
            texts = self.towers.of_text([with_article(word) for word in words])
        return self._maps(
            self.towers.image, images, lambda vectors: torch.nn.functional.cosine_similarity(vectors, texts)
        )

    def _maps(self, network: SmallCNN, images: Sequence[Image.Image], score: Callable[[Tensor], Tensor]) -> list[Heat]:
        return list(class_activation(network, images_to_tensor(images, SIZE), score).double().numpy())


def truths(name: str, images: Sequence[Image.Image]) -> list[Mask]:
    """Where each picture's object is: what stands out, of two objects in the left half."""
    masks = [foreground(image) for image in images]
    for mask in masks if name == "pairs" else ():
        mask[:, mask.shape[1] // 2 :] = False
    return masks


def coarse(mask: Mask) -> Heat:
    """A mask as a map of 8 × 8: how much of each square it covers."""
    across = mask.shape[0] // 8
    return mask.reshape(8, across, 8, across).mean((1, 3))


def heats(
    model: tp.Model, baselines: Baselines, name: str, subjects: Sequence[Subject], seeds: int
) -> Iterator[tuple[str, list[Heat], list[Image.Image]]]:
    """Yield what a map is of, one map a picture, and the pictures."""
    pairs = [(subject, seed) for subject in subjects for seed in range(seeds)]
    drawing = [subject.prompt for subject, _ in pairs], [seed for _, seed in pairs]
    finding = Maps(per="module", batch_size=20)(model, *drawing)
    words = [subject.concept for subject, _ in pairs]
    for layers, part in _by_layers(finding, model, list(LAYERS)):
        own = [each[word.split()[-1]] for each, word in zip(part.heats, words, strict=True)]
        yield LAYERS[layers], own, finding.images
    yield "the judge’s class-activation map", baselines.label(finding.images, words), finding.images
    yield "the towers’ similarity", baselines.similarity(finding.images, words), finding.images
    yield "the truth at 8 × 8", [coarse(mask) for mask in truths(name, finding.images)], finding.images


def rows(name: str, every: Iterator[tuple[str, list[Heat], list[Image.Image]]], seeds: int) -> Iterator[list[str]]:
    """Yield a line for each kind of map: rank, pointing, and overlap of the mask."""
    for title, maps, images in every:
        masks = truths(name, images)
        scores = [
            (at // seeds, *agreement(heat, image, mask, SHARE, RULE))
            for at, (heat, image, mask) in enumerate(zip(maps, images, masks, strict=True))
        ]
        given = [(iou, auc, hit, (at,)) for at, iou, auc, hit in scores if auc is not None]
        ious, ranks, points, clusters = (list(column) for column in zip(*given, strict=True))
        pointing = Rate.of(points, clusters)
        assert pointing is not None  # there is a picture at least
        numbers = mean_score(ranks, clusters=clusters), mean_score(ious, clusters=clusters)
        yield [SETS[name], title, spanned(numbers[0], 1, 2), with_span(pointing), spanned(numbers[1])]


def main() -> None:
    parser = page_parser(__doc__)
    parser.add_argument("--prompts", type=int, default=20, help="of each set, at most")
    parser.add_argument("--seeds", type=int, default=3, help="pictures of each prompt")
    args = parsed(parser)
    model, baselines, lines = tp.load(dtype=torch.float32), Baselines(), []
    for name in SETS:
        every = heats(model, baselines, name, WORLD[name]()[: args.prompts], args.seeds)
        lines += rows(name, every, args.seeds)
        print(f"{name} drawn", file=sys.stderr, flush=True)
    head = ["pictures of", "map", "AUC of the object", "points at it, %", "overlap of its mask, %"]
    fill(args.docs / "words.md", {"segmentation": markdown_table(head, lines)})


if __name__ == "__main__":
    main()
