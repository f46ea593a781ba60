"""The thesis's experiments on the embedded model, figure by figure, into docs/time.md, layers.md, heads.md, tracing.md.

    python benchmarks/thesis.py                        # all
    python benchmarks/thesis.py time --seeds 1 --docs /tmp/pages

Twenty prompts (each of the ten objects twice, in a style, on a background), drawn with every seed by 20 steps of DDIM
with guidance 4; for tracing by 10. A run that was killed goes on. What is
written around the tables stays.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import polars as pl
import torch
from asking import asked
from matplotlib.figure import Figure
from pages import DOCS, fill, percent, table
from PIL import Image
from torch import Tensor

import turpentine as tp
from turpentine.concepts import with_article
from turpentine.core.parts import Parts
from turpentine.edits import Edit, Provenance
from turpentine.emoji.captions import stream
from turpentine.emoji.world import COLOURS, SCENES, STYLES, TEN, WORKS
from turpentine.erase._pruning import zero_largest
from turpentine.erase.cad import CAD
from turpentine.erase.uce import UCE
from turpentine.explain._branches import BranchesFinding
from turpentine.explain._codes import WINDOWS
from turpentine.explain.agreement import Agreement
from turpentine.explain.clock import Clock
from turpentine.explain.dynamics import CHANGE, UPDATE, WORDS, Dynamics, DynamicsFinding
from turpentine.explain.heads import TOUR_GROUPS, Heads
from turpentine.explain.intervene import Intervene, InterveneFinding
from turpentine.explain.locogen import LocoGen
from turpentine.explain.trace import Trace, TraceFinding
from turpentine.judges import EmojiJudge
from turpentine.judges.base import hits
from turpentine.models import Site
from turpentine.models.identity import describe
from turpentine.models.site_table import short_names
from turpentine.stats.correlation import spearman, spearman_interval
from turpentine.stats.intervals import Rate, mean_score

PROMPTS = asked(times=2)
MEASURED = ("object kept", "style kept", "colour kept", "layout", "fine detail", "fine detail of latents")
SINGLES = (*(f"DOWN{number}" for number in range(1, 7)), "MID", *(f"UP{number}" for number in range(1, 10)))
LAYERS = ("MID", "UP9", "DOWN5", "HIGHRES", "LOWRES")
SEVERED = (*SINGLES, "HIGHRES", "LOWRES")
"""Layers that are severed: every module alone, and the groups."""

SHOWN = 0, 3, 5
"""Pictures of the figures, by their prompts."""


class Pictures:
    """The same prompts and seeds for every instrument."""

    def __init__(self, seeds: int, keep: Path) -> None:
        self.model, self.judge, self.keep = tp.load(dtype=torch.float32), EmojiJudge(), keep
        self.count = seeds
        self.of = [one for one in PROMPTS for _ in range(seeds)]
        self.prompts = [one.prompt for one in self.of]
        self.seeds = list(range(seeds)) * len(PROMPTS)

    def intervened(self, *letters: str, kind: str = "cross-attention") -> InterveneFinding:
        asking = Intervene(letters, kind)
        said = told(f"{kind}: {letters[0]} …")
        return asking(self.model, self.prompts, self.seeds, judge=self.judge, cache=self.keep, progress=said)

    def traced(self, where: str, column: str) -> TraceFinding:
        """Of scenes, which no word names, the object is wanted that they stand for."""
        if column == "scene":
            of = [(scene, scene, obj) for scene, obj in SCENES.items()]
        else:
            of = [(one.prompt, getattr(one, column), getattr(one, column)) for one in PROMPTS]
        prompts, subjects, wanted = zip(*(each for each in of for _ in range(self.count)), strict=True)
        found = Trace(where, "object" if column == "scene" else column, steps=10)(
            self.model,
            prompts,
            list(range(self.count)) * len(of),
            concept=subjects,
            label=wanted,
            judge=self.judge,
            cache=self.keep,
            progress=told(f"trace {where} {column}"),
        )
        return replace(found, title=f"{column}: {'denoiser' if where == 'denoiser' else 'text encoder'}")


def told(what: str) -> Callable[[int, int], None]:
    """Says how far it is, a few times a minute."""
    last = [time.monotonic()]

    def progress(done: int, total: int) -> None:
        if done == total or time.monotonic() - last[0] > 20:
            last[0] = time.monotonic()
            print(f"{what}: {done} of {total}", file=sys.stderr, flush=True)

    return progress


def measures(found: BranchesFinding) -> str:
    """A line for each intervention, a column for each measure."""
    columns = [column for column in MEASURED if column in set(found.table["measure"])]
    rows = []
    for (letters,), part in found.table.group_by("letters", maintain_order=True):
        cells = [spanned(*part.filter(pl.col("measure") == column).row(0)[2:5]) for column in columns]
        rows.append([str(letters), *cells])
    return table(["", *(f"{column}, %" for column in columns)], rows)


def spanned(value: float, low: float, high: float, scale: float = 100.0, digits: int = 0) -> str:
    """A number and its interval, in percent or as it is."""
    return "{} ({}–{})".format(*(f"{scale * each:.{digits}f}" for each in (value, low, high)))


def strip(found: BranchesFinding, seeds: int) -> Figure:
    """A few pictures under each intervention, side by side."""
    names = list(found.images)
    across = math.ceil(len(names) / math.ceil(len(names) / 9))
    blocks = [names[start : start + across] for start in range(0, len(names), across)]
    lines = len(blocks) * len(SHOWN)
    figure = Figure(figsize=(0.95 * across, 1.02 * lines), layout="constrained")
    axes = figure.subplots(lines, across, squeeze=False)
    for axis in axes.ravel():
        axis.set_axis_off()
    for block, group in enumerate(blocks):
        for row, picture in enumerate(SHOWN):
            for axis, name in zip(axes[block * len(SHOWN) + row], group, strict=False):
                axis.imshow(large(found.images[name][picture * seeds]))
                if row == 0:
                    axis.set_title(name, fontsize=8)
    return figure


def large(image: Image.Image) -> Image.Image:
    return image.resize((4 * image.width, 4 * image.height), Image.Resampling.NEAREST)


def save(figure: Figure, path: Path) -> None:
    figure.savefig(path, dpi=110)


def over_time(pictures: Pictures, seeds: int, docs: Path) -> dict[str, str]:
    """Section 4.2 of the thesis: curves over the steps, and interventions in a part of them."""
    found = Dynamics()(pictures.model, pictures.prompts, pictures.seeds, progress=told("dynamics"))
    save(found.plot(), docs / "time-dynamics.png")
    severed = pictures.intervened("q1", "q2", "q3", "q4", "q1.2", "o1", "o2", "o3", "o4", "qALL")
    save(strip(severed, seeds), docs / "time-severed.png")
    swapped = pictures.intervened("p1", "p2", "p3", "p4", "p1.2", "r1", "r2", "r3", "r4", "pALL")
    save(strip(swapped, seeds), docs / "time-swapped.png")
    return {
        "curves": curves(found),
        "peaks": peaks(found),
        "severed": measures(severed),
        "swapped": measures(swapped),
        "deblurring": deblurring(severed, swapped),
    }


def curves(found: DynamicsFinding) -> str:
    """Latent change and word probability at five steps, and how near each curve is to a parabola and to a line."""
    rows = []
    for measure in (CHANGE, WORDS):
        part = found.table.filter(pl.col("measure") == measure).sort("step")
        at = np.linspace(0, len(part) - 1, 5).round().astype(int)
        cells = [spanned(*part.select("value", "low", "high").row(int(step)), scale=1, digits=3) for step in at]
        fits = [f"{share_explained(part['value'].to_numpy(), degree):.3f}" for degree in (1, 2)]
        rows.append([measure, *cells, *fits])
    head = ["", *(f"step {step + 1}" for step in at), "R² of a line", "R² of a parabola"]
    return table(head, rows)


def share_explained(values: np.ndarray, degree: int) -> float:
    at = np.arange(len(values))
    left = values - np.polyval(np.polyfit(at, values, degree), at)
    return float(1 - left.var() / values.var())


def peaks(found: DynamicsFinding) -> str:
    """For each module the step of its largest update, and the part of its updates in each quarter of the steps."""
    rows, at, size = [], [], []
    updates = found.table.filter(pl.col("measure") == UPDATE)
    for (label,), part in updates.group_by("label", maintain_order=True):
        value = part.sort("step")["value"].to_numpy()
        (site,) = [one for one in found.everything if one.name == part["site"][0]]
        quarters = [100 * each.sum() / value.sum() for each in np.array_split(value, 4)]
        rows.append(
            [str(label), f"{site.resolution} × {site.resolution}", str(1 + int(value.argmax()))]
            + [f"{each:.0f}" for each in quarters]
        )
        at.append((value * np.arange(len(value))).sum() / value.sum())
        size.append(float(site.resolution or 0))
    head = ["module", "works at", "largest in step", *(f"quarter {number}, %" for number in (1, 2, 3, 4))]
    sizes, times = np.array(size), np.array(at)
    r, (low, high) = spearman(sizes, times), spearman_interval(sizes, times, rounds=1000)
    said = f"Rank correlation of resolution and mean time over the modules: {r:.2f} ({low:.2f} to {high:.2f})."
    return f"{table(head, rows)}\n\n{said}"


def deblurring(severed: InterveneFinding, swapped: InterveneFinding) -> str:
    """Fine detail of the pictures in each window: severed less swapped, over the same pictures."""
    rows = []
    for window in WINDOWS:
        one, other = (
            found.rows.filter(pl.col("letters") == f"{act}{window}") for found, act in ((severed, "q"), (swapped, "p"))
        )
        cells = []
        for measure in ("fine detail", "fine detail of latents", "layout"):
            apart = mean_score((one[measure] - other[measure]).to_list(), clusters=one.select("prompt").rows())
            cells.append("{:+.1f} ({:+.1f} to {:+.1f})".format(*(100 * each for each in apart)))
        rows.append([f"q{window} − p{window}", *cells])
    return table(["points", "fine detail", "fine detail of latents", "layout"], rows)


def over_layers(pictures: Pictures, seeds: int, docs: Path) -> dict[str, str]:
    """Section 4.2's layers: some alone, all but some, of other kinds, and with another time."""
    parts = {}
    for act, layers in (("q", SEVERED), ("o", LAYERS), ("r", LAYERS)):
        found = pictures.intervened(*(act + layer for layer in layers))
        parts[f"layers-{act}"] = measures(found)
        save(strip(found, seeds), docs / f"layers-{act}.png")
    for kind in ("self-attention", "feed-forward", "resnet"):
        middle = [] if kind == "resnet" else ["qMID"]
        letters = *middle, "qLOWRES", "qHIGHRES", "q1", "q4"
        parts[f"layers-{kind}"] = measures(pictures.intervened(*letters, kind=kind))
    clock = Clock()(
        pictures.model,
        pictures.prompts,
        pictures.seeds,
        judge=pictures.judge,
        cache=pictures.keep,
        progress=told("clock"),
    )
    parts["clock"] = measures(clock)
    save(strip(clock, seeds), docs / "layers-clock.png")
    parts["memorised"] = memorised(pictures, seeds, docs)
    return parts


def memorised(pictures: Pictures, seeds: int, docs: Path) -> str:
    """What some layers alone draw of pictures that the model knows by heart."""
    works = [work for work in WORKS for _ in range(seeds)]
    asked = Intervene(("oDOWN3", "oDOWN5", "oDOWN6", "oUP3", "oLOWRES", "oHIGHRES", "qHIGHRES", "qALL"))
    found = asked(
        pictures.model,
        [work.caption for work in works],
        list(range(seeds)) * len(WORKS),
        cache=pictures.keep,
        progress=told("works"),
    )
    save(strip(found, seeds), docs / "layers-memorised.png")
    rows = []
    for letters, images in found.images.items():
        said = pictures.judge(images)
        hit = [title == work.title for title, work in zip(said["work"], works, strict=True)]
        known = Rate.of(hit, [(work.title,) for work in works])
        assert known is not None  # there is a picture at least
        mine = found.rows.filter(pl.col("letters") == letters)
        layout = mean_score(mine["layout"].to_list(), clusters=mine.select("prompt").rows())
        rows.append([letters, percent(known), spanned(*layout)])
    return table(["", "the work, %", "layout, %"], rows)


def over_heads(pictures: Pictures, seeds: int, docs: Path) -> dict[str, str]:
    """Keys and values: which heads tell kinds of objects, colours and styles apart."""
    groupings: dict[str, Mapping[str, Sequence[str]]] = {
        "categories": {name: words for name, words in TOUR_GROUPS.items() if name != "colours"},
        "colours": {
            colour: [f"{colour} {word}" for word in ("dog", "car", "house", "fish")] for colour in list(COLOURS)[:6]
        },
        "styles": {style: [f"{word} in {style} style" for word in ("dog", "car", "fish", "cat")] for style in STYLES},
    }
    captions = tuple(one.caption for one in islice(stream(0), 2000))
    rows = []
    for name, groups in groupings.items():
        found = Heads(background=captions)(pictures.model, groups)
        save(found.plot(), docs / f"heads-{name}.png")
        for part in ("key", "value"):
            mine = found.table.filter(pl.col("part") == part).sort("score", descending=True)
            cells = [
                f"{row['label']}, head {row['head']}: " + spanned(row["score"], row["low"], row["high"], 1, 2)
                for row in (mine.row(0, named=True), mine.row(-1, named=True))
            ]
            positive, above = int((mine["low"] > 0).sum()), int((mine["score"] > found.chance).sum())
            chance = f"{found.chance:.2f} (p {found.p:.3f})"
            number = [f"{count} of {len(mine)}" for count in (above, positive)]
            rows.append([name, f"{part}s", *cells, chance, *number, f"{mine['score'].mean():.2f}"])
    head = ["groups", "", "best", "worst", "best by chance", "above that", "interval above 0", "mean of all"]
    return {"heads": table(head, rows)}


def traced(pictures: Pictures, seeds: int, docs: Path) -> dict[str, str]:
    """DiffQuickFix's tracing of four things, whether edits work better there, and LocoGen's windows."""
    parts = {}
    for column in ("object", "style", "colour", "scene"):
        for where in ("denoiser", "text"):
            found = pictures.traced(where, column)
            save(found.plot(), docs / f"tracing-{where}-{column}.png")
            parts[f"trace-{where}-{column}"] = effects(found)
            if (where, column) == ("denoiser", "object"):
                parts["agreement"] = editing(pictures, found, docs)
    parts["locogen"] = located(pictures)
    return parts


def located(pictures: Pictures) -> str:
    """How often the ten objects go with each window of layers told the empty prompt, over objects and prompts."""
    rows = []
    for obj in dict.fromkeys(one.object for one in pictures.of):
        mine = [(one.prompt, seed) for one, seed in zip(pictures.of, pictures.seeds, strict=True) if one.object == obj]
        texts, numbers = zip(*mine, strict=True)
        found = LocoGen()(
            pictures.model, texts, numbers, concept=obj, judge=pictures.judge, cache=pictures.keep, progress=told(obj)
        )
        rows.append(found.rows.with_columns(object=pl.lit(obj)))
    lines = []
    for (window,), part in pl.concat(rows).group_by("window", maintain_order=True):
        gone = Rate.of(part["gone"].to_list(), part.select("object", "prompt").rows())
        assert gone is not None  # there is a picture at least
        lines.append([str(window), percent(gone)])
    return table(["layers told the empty prompt", "pictures without the object, %"], lines)


def editing(pictures: Pictures, found: TraceFinding, docs: Path) -> str:
    """Spearman's correlation of a trace with what edits of one module achieve, the mean over five objects.

    An edit achieves the share of the object's own pictures that lose it, less that of the others' that lose theirs.
    """
    model, rows = pictures.model, []
    for obj in TEN[:5]:
        concept = tp.Concept(obj)
        alpha = CAD.preset(model, sites="all", trials=0).attribution(model, concept).alpha
        for site in found.everything.named(found.table["site"].to_list()):
            edits = {"CAD, 2 % of the module's weights": zeroing(site, alpha, 0.02)}
            if site.kind == "cross-attention":
                edits["UCE, the module's keys and values"] = UCE.preset(model, sites=site.label)(model, concept)
            for name, edit in edits.items():
                with edit.on(model):
                    rows.append((name, site.name, lost(pictures, obj)))
        print(f"edits: {obj}", file=sys.stderr, flush=True)
    every, names = pl.DataFrame(rows, ["edit", "site", "measured"], orient="row"), short_names(found.table)
    lines = []
    for (name,), part in every.group_by("edit", maintain_order=True):
        mean = part.group_by("site", maintain_order=True).agg(pl.col("measured").mean())
        kinds = [None, *dict.fromkeys(site.kind for site in found.everything.named(mean["site"].to_list()))]
        kinds = kinds if len(kinds) > 2 else kinds[1:]
        for kind in kinds:
            some = found if kind is None else replace(found, table=found.table.filter(pl.col("kind") == kind))
            agreed = Agreement()(some, mean)
            if kind == kinds[0]:
                save(agreed.plot(), docs / f"tracing-agreement-{str(name)[:3].lower()}.png")
            best = agreed.table.sort("measured", descending=True).row(0, named=True)
            rho = f"{agreed.rho:.2f} ({agreed.low:.2f} to {agreed.high:.2f})"
            p = f"{agreed.p:.3f}" if agreed.p >= 0.001 else "< 0.001"
            most = f"{best['kind']} {names[best['site']]}: {100 * best['measured']:.0f}"
            lines.append([str(name), kind or "all", str(len(agreed.table)), rho, p, most])
    return table(["edit", "modules", "of them", "ρ", "p", "achieves most, points"], lines)


def lost(pictures: Pictures, obj: str) -> float:
    """The share of an object's pictures that have lost it, less that of the other nine, under the edits that are on."""
    asked = [obj] * 4 + [other for other in TEN if other != obj]
    prompts, seeds, steps = [with_article(each) for each in asked], [100, 101, 102, 103, *range(100, 109)], 10

    def draw() -> dict[str, Tensor]:
        images = pictures.model.generate(prompts, seeds=seeds, steps=steps, batch_size=len(prompts))
        return {"lost": ~torch.tensor(hits(pictures.judge, "object", images, asked))}

    about = [describe(pictures.model), pictures.judge.name, pictures.judge.revision]
    gone = Parts(pictures.keep, about).part([prompts, seeds, steps, "object"], draw)["lost"]
    return float(gone[:4].double().mean() - gone[4:].double().mean())


def zeroing(site: Site, alpha: Mapping[str, Tensor], share: float) -> Edit:
    """A share of the module's weights, those with the largest α, set to 0."""
    mine = {name: alpha[name] for name in site.parameters if name in alpha}
    return Edit(provenance=Provenance("CAD", {}, ()), zeroed=zero_largest(mine, share))


def effects(found: TraceFinding) -> str:
    """The clean and the corrupted score, and the components with the largest effects."""
    best, names = found.table.sort("effect", descending=True).head(6), short_names(found.table)
    rows = [
        [f"{row['kind']} {names[row['site']]}", spanned(row["effect"], row["low"], row["high"])]
        for row in best.iter_rows(named=True)
    ]
    clean, corrupted = (spanned(rate.value, rate.low, rate.high) for rate in (found.clean, found.corrupted))
    said = f"Clean {clean} %, corrupted {corrupted} %."
    return f"{said}\n\n{table(['component', 'indirect effect, points'], rows)}"


Sections = Mapping[str, Callable[[Pictures, int, Path], dict[str, str]]]
"""What each section of a page is made by, told of the seeds for each prompt and of the folder for its figures."""

SECTIONS: Sections = {
    "time": over_time,
    "layers": over_layers,
    "heads": over_heads,
    "tracing": traced,
}


def main(about: str | None, sections: Sections, page: str) -> None:
    """Make the sections that the command line asks for. page: its file's name, with {} for the section's."""

    def section_of(name: str) -> str:
        if name not in sections:
            raise argparse.ArgumentTypeError(f"there is no section {name!r}: there are {', '.join(sections)}")
        return name

    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = ", ".join(sections)
    parser.add_argument("sections", nargs="*", type=section_of, default=list(sections), help=names)
    parser.add_argument("--seeds", type=int, default=10, help="pictures for each prompt")
    parser.add_argument("--docs", type=Path, default=DOCS, help="the folder of the pages")
    parser.add_argument("--keep", type=Path, default=Path("runs/thesis"), help="the folder of what is finished")
    args = parser.parse_args()
    args.docs.mkdir(parents=True, exist_ok=True)
    pictures = Pictures(args.seeds, args.keep)
    for section in args.sections:
        begun = time.monotonic()
        fill(args.docs / page.format(section), sections[section](pictures, args.seeds, args.docs))
        print(f"{section}: {time.monotonic() - begun:.0f} s", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main(__doc__, SECTIONS, "{}.md")
