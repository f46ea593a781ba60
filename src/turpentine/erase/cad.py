"""CAD-Erase: zero the few weights that a concept rests on (Nguyen et al. 2024, arXiv 2412.02542)."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from typing import Any, ClassVar

import torch

from turpentine.attribution import Attribution, Objective, approximation, attributable
from turpentine.concepts import Concept
from turpentine.core.errors import BadArgument
from turpentine.core.progress import Progress
from turpentine.edits import Edit, Provenance, Zeroed
from turpentine.erase._attribution_run import KeptGradients
from turpentine.erase._pruning import Per, check_per, check_share, together, zeroed_by
from turpentine.erase._training.checkpoint import Checkpoint, facts_of
from turpentine.erase._training.draws import draws, noise_seeds
from turpentine.erase._training.meter import TRAINED_ROW
from turpentine.erase.common import Sized, Tally, as_concepts, provenance_of, side_by_side
from turpentine.models import Model, Selection, Trajectory, window_of


@dataclass(frozen=True)
class CAD(Sized):
    """Zero the weights whose loss most brings the prediction for a concept down to that for a base prompt.

    J = E‖sg ε(x_t, c_b) − ε(x_t, c)‖² over the steps of guided DDIM sampling of the concept c (equation 4). Weight i
    counts α_i = w_i·∂J/∂w_i, the first-order change of J when it is set to 0 (equation 3); the largest α above 0 go.
    Each of several concepts is attributed on its own, and what any of them rests on is zeroed.

    Defaults are the published values for objects on Stable Diffusion 1.4; for nudity the share is 0.00075. The authors
    sample x_t anew for each of the 50 steps; here it is taken from stored trajectories, which costs a thirteenth. Their
    code sums gradients in fp16, here in fp32, and rounds the count of a row down, so that of rows shorter than 1000
    none is zeroed: that is `per` "published".

    The zeroed positions tell whoever has them which weights the concept rested on.

    sites: of which all linear and convolution weights count: kinds, such as "feed-forward", "self-attention",
        "cross-attention" or "resnet", or labels, such as "UP2,UP3"; "all" of the denoiser; or any selection of its
        sites, also by their names.
    share: of a row's weights, over 0 to 1. per: "row", "matrix" or "published"; see `pruning.largest`.
    base: the base prompt c_b.
    trajectories: stored sampling runs for each concept, 1 or more; its prompts take turns.
    sampling_steps: T, the DDIM steps of a run. guidance_scale: of a run.
    window: the part of the schedule that counts, fractions from 0 (pure noise) to 1. A window of the sites narrows it
        further.
    trials: random subsets of weights for which the predicted fall of J is held against the measured one, 4 or more; 0
        for none. The paper has 1000.
    batch_size: rows of a call with gradients, 1 or more; it costs memory, and changes the last bits only.
    seed: of the starting noise, 0 or more.
    """

    name: ClassVar[str] = "cad"

    small_world: ClassVar[Mapping[str, Any]] = {"trajectories": 4, "sampling_steps": 20, "share": 0.015}
    """Settings for models of the embedded one's size, whose rows are a few hundred weights long."""

    sites: Selection = "feed-forward"
    share: float = 0.001
    per: Per = "row"
    base: str = ""
    trajectories: int = 1
    sampling_steps: int = 50
    guidance_scale: float = 3.0
    window: tuple[float, float] = (0.0, 1.0)
    trials: int = 8
    batch_size: int = 8
    seed: int = 0

    @torch.inference_mode(False)
    def __call__(
        self,
        model: Model,
        concept: Concept | Sequence[Concept],
        *,
        progress: Progress | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
    ) -> Edit:
        """Erase one concept, or several; the model itself is left as it is, and the edit is returned.

        For each concept the denoiser sees 2·T·n rows for n trajectories of T steps, then T·n rows forward and
        backward, T·n more for a base prompt other than "", and (t + 1)·T·n for t trials. Edits that are on the model
        stay on: the weights are those of the model as it is. The edit's provenance has, as `found`, J of each concept,
        how far zeroing is predicted to lower it, and Pearson's r of the trials with its 95 % interval, `r_low` to
        `r_high`.

        progress: called with rows of the denoiser done and in all, a row with its gradient counted three times.
        checkpoint: a folder to keep the state in, every 15 seconds and on Ctrl-C; the same call with it goes on to the
        same edit. It stays until `turpentine.core.tensors.discard` removes it.
        Raises BadArgument, BadWindow or EmptySelection for settings before any work; NotFinite, naming the weight and
        the timestep; KeyboardInterrupt, saying how to go on.
        """
        concepts = as_concepts(concept, model)
        self._check()
        names = attributable(model, self.sites)
        kept = Checkpoint(checkpoint, facts_of(model, self._provenance(model, concepts)))
        tally = Tally(progress, self._rows() * len(concepts))
        masks, told = [], []
        for index, one in enumerate(concepts):
            found = self._attribute(model, one, names, KeptGradients(kept, index, tally), tally)
            masks.append(zeroed_by(found.alpha, self.share, self.per))
            told.append(_told(found, masks[-1]))
        return Edit(provenance=self._provenance(model, concepts, side_by_side(told)), zeroed=together(masks))

    @torch.inference_mode(False)
    def attribution(self, model: Model, concept: Concept, *, progress: Progress | None = None) -> Attribution:
        """α of each weight of the sites for a concept, as the erasure takes it, with its tables and its check.

        Costs and errors are those of the call.
        """
        self._check()
        names, tally = attributable(model, self.sites), Tally(progress, self._rows())
        return self._attribute(model, concept, names, KeptGradients(Checkpoint(None, {}), 0, tally), tally)

    def _attribute(
        self, model: Model, concept: Concept, names: tuple[str, ...], kept: KeptGradients, tally: Tally
    ) -> Attribution:
        prompts = tuple(concept.prompts[row % len(concept.prompts)] for row in range(self.trajectories))
        rows = 2 * self.sampling_steps * self.trajectories + self._base_rows()

        def make() -> Objective:
            run = self._run(model, prompts, tally)
            tally.add(self._base_rows())
            return Objective.apart(model, run, base=self.base, steps=self._steps())

        objective = kept.objective(model, prompts, 1.0, rows, make)
        return self._checked(kept.attribution(model, objective, names, self.batch_size), tally)

    def _checked(self, found: Attribution, tally: Tally) -> Attribution:
        """With what the first order foretells held against what comes."""
        if not self.trials:
            return found
        points = len(found.objective)

        def advanced(done: int, total: int) -> None:
            tally.add(points)

        check = approximation(found, trials=self.trials, seed=self.seed, batch_size=self.batch_size, progress=advanced)
        tally.add(points)  # J itself
        return replace(found, check=check)

    def _run(self, model: Model, prompts: tuple[str, ...], tally: Tally) -> Trajectory:
        start = tally.done
        return Trajectory.record(
            model,
            prompts,
            noise_seeds(draws("trajectories", self.seed), len(prompts)),
            steps=self.sampling_steps,
            guidance_scale=self.guidance_scale,
            progress=lambda done, total: tally.add(start + 2 * done - tally.done),
        )

    def _rows(self) -> int:
        """Rows of the denoiser for one concept, as progress counts them."""
        checked = self.trials + 1 if self.trials else 0
        points = (TRAINED_ROW + checked) * self._points()
        return 2 * self.sampling_steps * self.trajectories + self._base_rows() + points

    def _base_rows(self) -> int:
        """The empty prompt is in the stored runs; another base has to be predicted."""
        return self._points() if self.base else 0

    def _points(self) -> int:
        return len(self._steps()) * self.trajectories

    def _steps(self) -> range:
        """The sampling steps that count."""
        return window_of(self.window, self.sites).counted(self.sampling_steps)

    def _provenance(
        self, model: Model, concepts: tuple[Concept, ...], found: Mapping[str, Any] | None = None
    ) -> Provenance:
        # The names of sites say nothing of their window, so that it counts as the settings' own.
        return provenance_of(self, model, concepts, found, window=astuple(window_of(self.window, self.sites)))

    def _check(self) -> None:
        check_share(self.share)
        check_per(self.per)
        for name in ("trajectories", "sampling_steps", "batch_size"):
            if getattr(self, name) < 1:
                raise BadArgument(f"{name} is {getattr(self, name)}: give 1 or more.")
        if self.trials < 0 or 0 < self.trials < 4:
            raise BadArgument(f"trials is {self.trials}: give 4 or more, or 0 for no check.")
        if not math.isfinite(self.guidance_scale) or self.seed < 0:
            numbers = f"guidance_scale is {self.guidance_scale} and seed is {self.seed}"
            raise BadArgument(f"{numbers}: give a finite scale, and a seed from 0.")
        self._steps()


def _told(found: Attribution, mask: Mapping[str, Zeroed]) -> dict[str, float]:
    """What was found of a concept, as numbers."""
    fall = found.predicted({name: zeroed.positions for name, zeroed in mask.items()})
    check = found.check
    agreement = {} if check is None else {"r": check.r, "r_low": check.low, "r_high": check.high}
    return {"objective": found.value, "predicted_fall": fall, **agreement}
