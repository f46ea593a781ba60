"""Time ESD against a plain reading of the published loop, on the same model and at equal erased accuracy.

    python benchmarks/esd_speed.py                       # the embedded model; up to half an hour on two cores
    python benchmarks/esd_speed.py --target 0.1 --out esd_speed.json

The published loop: for each update x_t is sampled anew, with guidance, from the model in training to a random step; the
frozen model predicts three times (from what is erased, the concept, the empty prompt), and the trained one forward and
backward. Both train the same weights with the same learning rate on the same schedule. Both are stopped at growing
numbers of updates and draw the concept with seeds that no training uses; the clock stands meanwhile. What counts is the
time of the fewest updates after which the concept is drawn in at most `--target` of the pictures.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import mse_loss

import turpentine as tp
from turpentine.bench import Case, Protocol, measure
from turpentine.core.atomic_files import write_text_whole
from turpentine.erase.esd import ESD, esd_sites
from turpentine.judges import EmojiJudge
from turpentine.models import Conditioning, count_rows, sample


@dataclass(frozen=True)
class Point:
    """Where a method stands: updates, seconds of training, rows of the denoiser, and how often the concept shows."""

    method: str
    updates: int
    seconds: float
    rows: int
    erased: float


class Published:
    """The published loop, an update at a time.

    frozen, trained: two of the same model; the second one's weights are written to.
    """

    def __init__(
        self, frozen: tp.Model, trained: tp.Model, settings: ESD, concept: tp.Concept, batch_size: int
    ) -> None:
        self.settings, self.batch_size = settings, batch_size
        self.frozen, self.trained = frozen, trained
        assert isinstance(settings.sites, str)
        self.names = esd_sites(self.trained, settings.sites).parameters()
        weights = [self.trained.parameter(name).requires_grad_() for name in self.names]
        self.adam = torch.optim.Adam(weights, lr=settings.lr)
        self.cond = self.frozen.encode(concept.prompts)
        self.empty = self.frozen.encode([""])
        self.draws = torch.Generator().manual_seed(settings.seed)

    def update(self) -> None:
        cond = self.cond[self._drawn(len(self.cond), self.batch_size)]
        x, t = self._partly_denoised(cond)
        with torch.no_grad():
            empty = self.empty.repeat(self.batch_size)
            start = self.frozen.eps(x, t, empty)
            concept = self.frozen.eps(x, t, cond)
            uncond = self.frozen.eps(x, t, empty)
        loss = mse_loss(self.trained.eps(x, t, cond), start - self.settings.eta * (concept - uncond))
        self.adam.zero_grad()
        loss.backward()
        self.adam.step()

    @torch.no_grad()
    def _partly_denoised(self, cond: Conditioning) -> tuple[Tensor, int]:
        """x_t after a random number of guided steps, 0 to T − 1, of the model in training."""
        scheduler = self.trained.schedule.solver("ddim")
        scheduler.set_timesteps(self.settings.sampling_steps)
        wanted = int(self._drawn(self.settings.sampling_steps, 1))
        x = self.trained.noise((2**32 + self._drawn(2**31, self.batch_size)).tolist())
        scale, steps = self.settings.guidance_scale, self.settings.sampling_steps
        if wanted > 0:
            for step in sample(self.trained, cond, self.empty, x, steps=steps, guidance_scale=scale):
                if step.index == wanted - 1:
                    x = step.x_next
                    break
        return x, int(scheduler.timesteps[wanted])

    def _drawn(self, below: int, count: int) -> Tensor:
        return torch.randint(below, (count,), generator=self.draws)

    def edit(self) -> tp.Edit:
        pairs = {name: (self.trained.parameter(name), self.frozen.parameter(name)) for name in self.names}
        return tp.Edit({name: trained.detach() - frozen for name, (trained, frozen) in pairs.items()})


def published(model: tp.Model, loop: Published, concept: tp.Concept, stops: list[int], seeds: int) -> Iterator[Point]:
    """One run that is stopped on its way."""
    seconds, rows = 0.0, 0
    for before, updates in zip([0, *stops], stops, strict=False):
        start = time.perf_counter()
        with count_rows(loop.frozen) as frozen, count_rows(loop.trained) as trained:
            for _ in range(updates - before):
                loop.update()
        seconds += time.perf_counter() - start
        rows += frozen.rows + trained.rows
        yield Point("published loop", updates, seconds, rows, erased(model, loop.edit(), concept, seeds))


def turpentine(model: tp.Model, settings: ESD, concept: tp.Concept, stops: list[int], seeds: int) -> Iterator[Point]:
    """Each number of updates is a run of its own, from recording trajectories to the edit."""
    for updates in stops:
        start = time.perf_counter()
        with count_rows(model) as count:
            edit = replace(settings, steps=updates)(model, concept)
        seconds = time.perf_counter() - start
        yield Point("turpentine", updates, seconds, count.rows, erased(model, edit, concept, seeds))


def erased(model: tp.Model, edit: tp.Edit, concept: tp.Concept, seeds: int) -> float:
    """How often the concept is still drawn, 0 to 1."""
    cases = [Case("erased", concept.text, prompt, "object", concept.text) for prompt in concept.prompts]
    with edit.on(model):
        rows = measure(model, cases, EmojiJudge(), Protocol(seeds=tuple(range(seeds)))).rows
    return float(rows["hit"].mean())  # type: ignore[arg-type]


def until(points: Iterator[Point], target: float) -> list[Point]:
    """All points up to the first that reaches the target."""
    kept = []
    for point in points:
        kept.append(point)
        numbers = f"{point.updates:5} updates {point.seconds:8.1f} s {point.rows:8} rows {point.erased:6.1%}"
        print(f"{point.method:15} {numbers}", flush=True)
        if point.erased <= target:
            break
    return kept


def verdict(ours: Point, theirs: Point, target: float) -> str:
    late = [point.method for point in (ours, theirs) if point.erased > target]
    if late:
        return f"{' and '.join(late)} did not reach {target:.0%}: give more --stops."
    return (
        f"At most {target:.0%} of the pictures: {ours.seconds:.1f} s against {theirs.seconds:.1f} s, "
        f"{theirs.seconds / ours.seconds:.1f} times faster; {theirs.rows / ours.rows:.1f} times fewer rows."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--concept", default="church")
    parser.add_argument("--target", type=float, default=0.05, help="the share of pictures that may still show it")
    parser.add_argument("--stops", type=int, nargs="+", default=[25, 50, 100, 150, 200, 400, 800, 1200])
    parser.add_argument("--batch-size", type=int, default=1, help="rows of an update of the published loop")
    parser.add_argument("--seeds", type=int, default=20, help="pictures for each of the concept's prompts")
    parser.add_argument("--out", type=Path, help="write the points as JSON")
    args = parser.parse_args()

    model, concept, settings = tp.load(), tp.Concept(args.concept), ESD.preset("emoji")
    ours = until(turpentine(model, settings, concept, args.stops, args.seeds), args.target)
    loop = Published(tp.load(), tp.load(), settings, concept, args.batch_size)
    theirs = until(published(model, loop, concept, args.stops, args.seeds), args.target)
    print(verdict(ours[-1], theirs[-1], args.target))
    if args.out:
        write_text_whole(args.out, json.dumps([asdict(point) for point in [*ours, *theirs]], indent=2))


if __name__ == "__main__":
    main()
