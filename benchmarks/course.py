"""What each step and each layer adds to a picture: spectra, places, and when the picture is settled, into docs/time.md.

    python benchmarks/course.py                 # the twenty captions, five seeds; some minutes on one core
    python benchmarks/course.py --captions 2 --seeds 1 --docs /tmp/pages

In the sampler's run each step's latent is known, and the picture that is predicted from it. Of both it is said how much
of their power is fine detail, and of the step's change of the latent how much lies at the object. The judge says of
every predicted picture what it is. Layers add to a stream: a map of how much, for each pixel that they work at, is held
against where the object and its edges are in the finished picture, as a rank. Intervals are over prompts.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from matplotlib.figure import Figure
from pages import fill, page_parser, parsed
from PIL import Image
from torch import Tensor

import turpentine as tp
from turpentine.core.markdown import markdown_table
from turpentine.explain._image_stats import channels_first, foreground, high_share, power_by_radius, rank_inside
from turpentine.explain._pages import spanned
from turpentine.explain._plots import whole_numbers
from turpentine.explain._subjects import Subject, captions
from turpentine.judges import EmojiJudge
from turpentine.models.call import Call
from turpentine.models.generate import batches
from turpentine.models.hooks import hooked, sever
from turpentine.models.sampler import sample
from turpentine.stats.intervals import mean_score

STEPS, GUIDANCE = 20, 4.0
SHOWN = (1, 2, 6, 11, 15, 20)
"""Steps in a table."""

EDGE = 0.1
"""The share of a map's pixels that are its edges: those with the largest gradient of the picture."""

FINEST = 8
"""Pixels along a side, below which a spectrum has too few waves to speak of."""

COLUMNS = ("object", "style", "colour")
KINDS = ("cross-attention", "self-attention", "feed-forward", "resnet")
BATCH = 20
"""Pictures at once."""


@dataclass(frozen=True)
class Run:
    """One run of all pictures: latents and predicted pictures by step, and what layers added."""

    latents: Float[np.ndarray, "step picture channel height width"]
    predicted: list[list[Image.Image]]
    images: list[Image.Image]
    added: Mapping[str, Float[np.ndarray, "step picture height width"]]
    fine: Mapping[str, Float[np.ndarray, "step picture"]]


class Added:
    """How much modules add, and how much of it is fine, by module: for each step what every batch has."""

    def __init__(self) -> None:
        self.maps: dict[str, list[list[Tensor]]] = defaultdict(lambda: [[] for _ in range(STEPS)])
        self.fine: dict[str, list[list[float]]] = defaultdict(lambda: [[] for _ in range(STEPS)])

    def __call__(self, call: Call) -> None:
        output, side = call.tensor[call.rows].detach().double(), call.site.resolution or 1
        if output.ndim == 3:
            output = output.transpose(1, 2).reshape(len(output), -1, side, side)
        assert call.moment is not None  # the sampler runs
        index, name = call.moment.index, call.site.name
        self.maps[name][index].append(output.norm(dim=1))
        if side >= FINEST:
            self.fine[name][index] += [high_share(each) for each in output.numpy()]


def draw(model: tp.Model, pairs: Sequence[tuple[Subject, int]], settled: bool = False) -> Run:
    """Draw captions and seeds; `settled` severs cross-attention after the first tenth of the steps."""
    added, latents, predicted, images = Added(), [], [], list[Image.Image]()
    modules = model.sites.only(kind="cross-attention", level="module")
    watched = model.sites.only(kind=KINDS, level="module")
    for some in batches(len(pairs), BATCH):
        cond = model.encode([subject.prompt for subject, _ in pairs[some]])
        noise, steps, pictures = model.noise([seed for _, seed in pairs[some]]), [], []
        with (
            sever(model, modules.during(0.1, 1.0)) if settled else nullcontext(),
            hooked(model, {watched: added}),
            torch.no_grad(),
        ):
            for step in sample(model, cond, model.encode([""]), noise, steps=STEPS, guidance_scale=GUIDANCE):
                alpha, sigma = model.schedule.scales(step.t, step.x)
                steps.append(step.x_next.double().numpy())
                pictures.append(model.decode((step.x - sigma * step.eps) / alpha))
                last = step.x_next
        latents.append(np.stack(steps))
        predicted.append(pictures)
        images += model.decode(last)
    return Run(
        np.concatenate(latents, axis=1),
        [[image for pictures in predicted for image in pictures[at]] for at in range(STEPS)],
        images,
        {name: np.stack([torch.cat(some).numpy() for some in each]) for name, each in added.maps.items()},
        {name: np.array(each) for name, each in added.fine.items()},
    )


class Course:
    """The run of all pictures, and tables of it."""

    def __init__(self, model: tp.Model, subjects: Sequence[Subject], seeds: int) -> None:
        self.model, self.judge = model, EmojiJudge()
        self.pairs = [(subject, seed) for subject in subjects for seed in range(seeds)]
        self.clusters = [(subject.prompt,) for subject, _ in self.pairs]
        self.run, self.settled = draw(model, self.pairs), draw(model, self.pairs, settled=True)
        self.objects = [foreground(image) for image in self.run.images]

    def percent(self, values: Sequence[float | bool]) -> str:
        """The mean over pictures, in percent, with its interval over prompts."""
        return spanned(mean_score([float(value) for value in values], clusters=self.clusters))

    def steps(self) -> str:
        """By step: spectra, where the latent changes, and what the predicted picture shows of what the last does."""
        truth, rows = self.judge(self.run.images), []
        inside = [shrunk(thing, self.run.latents.shape[-1]) for thing in self.objects]
        whole = mean_score([float(thing.mean()) for thing in inside], clusters=self.clusters)
        for at in self._shown():
            before = self.run.latents[at - 1] if at else None
            change = np.abs(self.run.latents[at] - before).mean(1) if before is not None else None
            place = [] if change is None else [part(one, thing) for one, thing in zip(change, inside, strict=True)]
            seen = self.judge(self.run.predicted[at])
            rows.append(
                [
                    str(at + 1),
                    self.percent([high_share(each) for each in self.run.latents[at]]),
                    self.percent([high_share(channels_first(image)) for image in self.run.predicted[at]]),
                    self.percent(place) if place else "–",
                    *(self.percent((seen[column] == truth[column]).to_list()) for column in COLUMNS),
                ]
            )
        head = ["step", "fine detail of the latent, %", "of the predicted picture, %", "change at the object, %"]
        note = f"The object is {spanned(whole)} % of the latent's pixels."
        names = [f"{column} as in the end, %" for column in COLUMNS]
        return f"{markdown_table([*head, *names], rows)}\n\n{note}"

    def _shown(self) -> list[int]:
        return [step - 1 for step in SHOWN if step <= STEPS]

    def mind(self) -> str:
        """How often what is predicted after a tenth is what comes, with and without cross-attention after it."""
        rows = []
        for name, run in (("untouched", self.run), ("o1", self.settled)):
            early, late = self.judge(run.predicted[STEPS // 10]), self.judge(run.images)
            for column in ("object", "colour"):
                wanted = [subject.word(column) for subject, _ in self.pairs]
                then, now = early[column].to_list(), late[column].to_list()
                cells = [
                    [one == other for one, other in zip(then, wanted, strict=True)],
                    [one == other for one, other in zip(now, wanted, strict=True)],
                    [one != other for one, other in zip(then, now, strict=True)],
                ]
                rows.append([name, column, *map(self.percent, cells)])
        head = ["", "of", "as the caption says after a tenth, %", "in the end, %", "changed in between, %"]
        return markdown_table(head, rows)

    def layers(self) -> str:
        """By module of cross-attention: where it adds, how fine it is early and late, and when, prompt by prompt."""
        edges, rows = [edges_of(image) for image in self.run.images], []
        for site in self.model.sites.only(kind="cross-attention", level="module"):
            maps = self.run.added[site.name]
            whole = maps.mean(0)
            ranks = [
                self.rank([rank(one, thing) for one, thing in zip(whole, things, strict=True)])
                for things in (self.objects, edges)
            ]
            when = self.when(maps)
            size = f"{maps.shape[-1]} × {maps.shape[-1]}"
            rows.append([site.label, size, *ranks, *when])
        head = [
            "module",
            "works at",
            "AUC of the object",
            "AUC of the edges",
            "mean step",
            "differs between prompts by",
        ]
        return markdown_table(head, rows)

    def rank(self, values: Sequence[float | None]) -> str:
        """The mean AUC with its interval; "–" where a map has no places."""
        given = [(value, cluster) for value, cluster in zip(values, self.clusters, strict=True) if value is not None]
        if not given:
            return "–"
        return spanned(mean_score([one for one, _ in given], clusters=[cluster for _, cluster in given]), 1, 2)

    def when(self, maps: Float[np.ndarray, "step picture height width"]) -> list[str]:
        """The mean step of what a module adds, and the standard deviation over prompts of each prompt's own mean."""
        weight = maps.mean((2, 3))
        steps = (weight * np.arange(1, len(weight) + 1)[:, None]).sum(0) / weight.sum(0)
        own = defaultdict(list)
        for value, cluster in zip(steps, self.clusters, strict=True):
            own[cluster].append(value)
        spread = np.std([np.mean(each) for each in own.values()])
        return [spanned(mean_score(steps.tolist(), clusters=self.clusters), 1, 1), f"{spread:.2f}"]

    def spectra(self) -> str:
        """By module of the highest resolution, of every kind: how fine what it adds is, by quarters of the steps."""
        rows = []
        for site in self.model.sites.only(kind=KINDS, level="module"):
            if site.name not in self.run.fine:
                continue
            quarters = np.array_split(self.run.fine[site.name], 4)
            rows.append(
                [site.label or site.name, site.kind, *(self.percent(each.mean(0).tolist()) for each in quarters)]
            )
        return markdown_table(["module", "of", *(f"quarter {number}, %" for number in (1, 2, 3, 4))], rows)

    def plot(self) -> Figure:
        """Mean spectra of latents and of predicted pictures, a line for each step."""
        figure = Figure(figsize=(9, 3.2), layout="constrained")
        axes = figure.subplots(1, 2)
        shades = np.linspace(0.15, 0.95, len(self._shown()))
        for shade, at in zip(shades, self._shown(), strict=True):
            latents = [power_by_radius(each) for each in self.run.latents[at]]
            pictures = [power_by_radius(channels_first(image)) for image in self.run.predicted[at]]
            for axis, each in zip(axes, (latents, pictures), strict=True):
                power = np.mean(each, axis=0)[1 : 1 + axis_end(each)]
                axis.plot(range(1, 1 + len(power)), power, color=(0.12, 0.31, 0.55, shade), label=f"step {at + 1}")
        for axis, title in zip(axes, ("latent", "predicted picture"), strict=True):
            axis.set(title=title, xlabel="cycles", yscale="log")
            axis.spines[["top", "right"]].set_visible(False)
            axis.xaxis.set_major_locator(whole_numbers())
        axes[0].set_ylabel("power")
        axes[1].legend(fontsize=7, frameon=False)
        return figure


def axis_end(spectra: Sequence[Float[np.ndarray, " radius"]]) -> int:
    """The highest whole number of cycles that every direction has."""
    return int((len(spectra[0]) - 1) / np.sqrt(2))


def shrunk(mask: Bool[np.ndarray, "tall wide"], side: int) -> Float[np.ndarray, "side side"]:
    """How much of each of side × side squares a mask covers."""
    across = mask.shape[0] // side
    return mask.reshape(side, across, side, across).mean((1, 3))


def part(change: Float[np.ndarray, "side side"], inside: Float[np.ndarray, "side side"]) -> float:
    """The share of a change that lies inside."""
    return float((change * inside).sum() / change.sum())


def rank(added: Float[np.ndarray, "side side"], mask: Bool[np.ndarray, "tall wide"]) -> float | None:
    """How often a pixel of the mask has more added than another; None for a map of one pixel."""
    if added.size == 1:
        return None
    across = mask.shape[0] // added.shape[0]
    return rank_inside(np.kron(added, np.ones((across, across))), mask)


def edges_of(image: Image.Image) -> Bool[np.ndarray, "tall wide"]:
    """Where a picture changes most from pixel to pixel."""
    steep = np.sqrt(sum(np.square(each) for each in np.gradient(channels_first(image), axis=(1, 2)))).sum(0)
    return steep > np.quantile(steep, 1 - EDGE)


def main() -> None:
    parser = page_parser(__doc__)
    parser.add_argument("--captions", type=int, default=20, help="how many of the captions")
    parser.add_argument("--seeds", type=int, default=5, help="pictures of each")
    args = parsed(parser)
    course = Course(tp.load(dtype=torch.float32), captions()[: args.captions], args.seeds)
    tables = {"course": course.steps(), "mind": course.mind(), "added": course.layers(), "fine": course.spectra()}
    course.plot().savefig(args.docs / "time-spectra.png", dpi=110)
    fill(args.docs / "time.md", tables)


if __name__ == "__main__":
    main()
