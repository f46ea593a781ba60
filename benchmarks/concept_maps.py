"""How well ConceptAttention shows where an object is in `emoji-mmdit`, beside plain maps of its joint attention.

    python benchmarks/concept_maps.py            # some ten minutes on one core
    python benchmarks/concept_maps.py --prompts 1 --steps 1 --docs /tmp/pages

The truth is what stands out from the background; of two objects side by side, in its own half. All maps are of one
drawing of each picture. Goes into docs/families.md; intervals are over prompts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack

import torch
from pages import fill, page_parser, parsed
from PIL import Image
from segmentation import RULE, SETS, SHARE, truths
from torch import Tensor

import turpentine as tp
from turpentine.core.formatting import with_span
from turpentine.core.markdown import markdown_table
from turpentine.explain._map_sums import ALL, MapSums, enlarged
from turpentine.explain._masks import Heat, agreement
from turpentine.explain._pages import spanned
from turpentine.explain._subjects import WORLD, Subject
from turpentine.explain.concept_attention import ConceptAttention, concept_states
from turpentine.models import READS_TEXT, Site, hooked
from turpentine.models.attention import grid
from turpentine.models.concept_stream import ConceptStream, concept_blocks
from turpentine.models.sampler import denoised
from turpentine.models.text import words_of
from turpentine.stats.intervals import Rate, mean_score

PLAIN, OTHERS = "attention to the word", ("background",)


class Shares:
    """Shares of each pixel by block: the concepts of one picture."""

    def __init__(self, model: tp.Model, words: Sequence[str], size: tuple[int, int]) -> None:
        self.by_block: dict[str, Tensor] = {}
        self._size = size
        self.stream = ConceptStream(model, concept_states(model, words), self._add)

    def _add(self, site: Site, of_picture: Tensor, of_concepts: Tensor) -> None:
        shares = (of_picture @ of_concepts.transpose(1, 2)).softmax(-1).transpose(1, 2)
        large = enlarged(shares.unflatten(2, grid(shares.shape[2], *self._size)), *self._size)[0]
        self.by_block[site.name] = self.by_block.get(site.name, torch.zeros(())) + large

    def heat(self, names: Sequence[str]) -> Heat:
        """Return the first concept's map, the mean over blocks."""
        total: Heat = torch.stack([self.by_block[name][0] for name in names]).mean(0).numpy()
        return total


def maps_of(model: tp.Model, subject: Subject, steps: int) -> tuple[dict[str, Heat], Image.Image]:
    """Return the object's maps by kind, and the picture, which is drawn once."""
    word = subject.concept.split()[-1]
    place = model.text.find_all(subject.prompt, word)[0]
    latents = model.noise([0])
    size = (latents.shape[2], latents.shape[3])
    plain = MapSums(model, latents, list(place))
    own = [word, *(each for each in words_of(subject.prompt) if each != word)]
    lists = {"the prompt’s words": own, "object and background": [word, *OTHERS]}
    shares = {name: Shares(model, words, size) for name, words in lists.items()}
    with ExitStack() as stack:
        modules = model.sites.only(kind=READS_TEXT, level="module")
        stack.enter_context(hooked(model, {modules: plain.add}))
        for each in shares.values():
            after, before = each.stream.hooks()
            stack.enter_context(hooked(model, after, before=before))
        cond, empty = model.encode([subject.prompt]), model.encode([""])
        latents = denoised(model, cond, empty, latents, steps=steps, guidance_scale=4.0)
    every = [site.name for site in concept_blocks(model)]
    last = [site.name for site in ConceptAttention().blocks(model)]
    heats = {PLAIN: plain.maps()[ALL][0].mean(0).numpy()}
    for name, each in shares.items():
        heats[f"ConceptAttention, {name}, last blocks"] = each.heat(last)
        heats[f"ConceptAttention, {name}, all blocks"] = each.heat(every)
    return heats, model.decode(latents)[0]


def rows(model: tp.Model, name: str, subjects: Sequence[Subject], steps: int) -> Iterator[list[str]]:
    """Yield a line for each kind of map: rank, pointing, and overlap of the mask."""
    scores: dict[str, list[tuple[float, float, bool]]] = {}
    for subject in subjects:
        heats, image = maps_of(model, subject, steps)
        (mask,) = truths(name, [image])
        for kind, heat in heats.items():
            iou, auc, hit = agreement(heat, image, mask, SHARE, RULE)
            if auc is not None and hit is not None:
                scores.setdefault(kind, []).append((iou, auc, hit))
    for kind, each in scores.items():
        ious, ranks, points = (list(column) for column in zip(*each, strict=True))
        pointing = Rate.of(points, [(at,) for at in range(len(points))])
        assert pointing is not None  # there is a picture at least
        numbers = [SETS[name], kind, spanned(mean_score(ranks), 1, 2), with_span(pointing), spanned(mean_score(ious))]
        yield [*numbers, str(len(each))]


def main() -> None:
    parser = page_parser(__doc__)
    parser.add_argument("--prompts", type=int, default=10, help="of each set, at most")
    parser.add_argument("--steps", type=int, default=8, help="of a picture")
    args = parsed(parser)
    model, lines = tp.load("emoji-mmdit", device="cpu", dtype="float32"), []
    for name in ("small", "pairs"):
        lines += rows(model, name, WORLD[name]()[: args.prompts], args.steps)
    head = ["pictures of", "map", "AUC of the object", "points at it, %", "overlap of its mask, %", "n"]
    fill(args.docs / "families.md", {"concept-maps": markdown_table(head, lines)})


if __name__ == "__main__":
    main()
