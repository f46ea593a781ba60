"""CAD-Erase: zero the few weights that a concept depends on (Nguyen et al. 2024, arXiv 2412.02542)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import astuple, dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import annotated_types as at

from turpentine.concepts import Concept, Concepts
from turpentine.core.progress import Progress, Tracker
from turpentine.core.settings import Count, Finite, Seed, Share
from turpentine.edits import Provenance
from turpentine.erase.common import (
    WITHOUT_GRADIENTS,
    Loss,
    Per,
    Score,
    Sized,
    as_concepts,
    checkpoint_of,
    collate,
    provenance_of,
    torch_mode,
)
from turpentine.models import Selection, window_of

if TYPE_CHECKING:
    from torch import Tensor

    from turpentine.attribution import Attribution, Objective
    from turpentine.edits import Edit, Zeroed
    from turpentine.erase._attribution_run import ResumableAttribution
    from turpentine.models import Model, Trajectory


@dataclass(frozen=True)
class CAD(Sized):
    """Zero the weights whose removal most brings the prediction for a concept down to that for a base prompt.

    J = E‖sg ε(x_t, c_b) − ε(x_t, c)‖² over the steps of guided DDIM sampling of the concept c (equation 4 of arXiv
    2412.02542). Weight i scores α_i = w_i·∂J/∂w_i, the first-order change of J when it is set to 0 (equation 3); the
    weights with the largest α above 0 are zeroed. Each of several concepts is attributed on its own, and the union is
    zeroed.

    Defaults are the published values for objects on Stable Diffusion 1.4; for nudity the share is 0.00075. The authors
    sample x_t anew for each of the 50 steps; here it is taken from stored trajectories, which costs a thirteenth, but
    with few trajectories α hangs on their noise: as many points spread over many trajectories (`stride`) come nearer to
    the mean over noises, and cost more rows without gradients. What is left of a concept differs from seed to seed
    either way, so a number of one edit says little. Their code sums gradients in fp16, here in fp32, and rounds the
    number of weights of a row down, so that of rows shorter than 1000 none is zeroed: that is `per` "published".

    `score` has the classical criteria of pruning in the place of α, as controls at the same share, sites and rule.

    The zeroed positions reveal to whoever has them which weights encode the concept.

    Args:
        sites: The linear and convolution layers to choose from: kinds, such as "feed-forward", "self-attention",
            "cross-attention" or "resnet", or labels, such as "UP2,UP3"; "all" of the denoiser; or any selection of its
            sites, also by their names.
        score: What decides which weights are zeroed, the largest first: "attribution", α; "snip", |α|, whichever way J
            moves (Lee et al. 2019, arXiv 1810.02340); "taylor", the mean over points of each one's α² (Molchanov et al.
            2019, arXiv 1906.10771), a gradient at a time; "magnitude", |w|, and "random", an even draw, which both look
            at no picture.
        share: How much of each row's weights is set to zero.
        per: What the share is counted of: each row, the whole matrix, or each row and rounded down as published.
        base: The base prompt c_b, which the concept is held against.
        trajectories: Stored sampling runs for each concept; its prompts take turns.
        stride: How far apart the steps are that count of a run: of run r the steps r, r + stride, r + 2·stride, …,
            modulo the steps there are; with T runs and a stride of T each step is of a run of its own, as in the
            authors' code, at T gradients in all.
        sampling_steps: DDIM steps of a stored run (T).
        guidance_scale: How strongly the prompt guides a stored run (w).
        window: The part of the schedule that counts, as fractions from 0 (pure noise) to 1. A window of the sites
            narrows it further.
        loss: Whose difference J is the square of: that of the network's own "output", ε or v, as in the authors' code;
            or of "eps" in every model, where noisy steps hardly count in one that predicts v.
        trials: Random subsets of weights for which the predicted fall of J is compared with the measured one; 0 for
            none. The paper has 1000. Only α and |α| predict a fall.
        batch_size: Rows of a call with gradients; it affects memory, and the last bits only.
        seed: Seed of the starting noise.

    Example:
        >>> edit = CAD(share=0.01, sampling_steps=2, trials=0)(model, Concept("church"))
        >>> len(edit.names), list(edit.provenance.measurements)
        (32, ['objective', 'predicted_fall'])
        >>> CAD(share=2.0)
        Traceback (most recent call last):
        ...
        turpentine.core.errors.BadArgument: CAD's share is 2.0: give over 0 and up to 1.
    """

    name: ClassVar[str] = "cad"

    small_world: ClassVar[Mapping[str, Any]] = {"trajectories": 4, "sampling_steps": 20, "share": 0.015}
    """Settings for models of the embedded one's size, whose rows are a few hundred weights long."""

    sites: Selection = "feed-forward"
    score: Score = "attribution"
    share: Share = 0.001
    per: Per = "row"
    base: str = ""
    trajectories: Count = 1
    stride: Count = 1
    sampling_steps: Count = 50
    guidance_scale: Finite = 3.0
    window: tuple[float, float] = (0.0, 1.0)
    loss: Loss = "output"
    trials: Annotated[int, at.Ge(4)] | Literal[0] = 8
    batch_size: Count = 8
    seed: Seed = 0

    @torch_mode("inference_mode", False)
    def __call__(
        self,
        model: Model,
        concept: Concepts,
        *,
        progress: Progress | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
    ) -> Edit:
        """Erase one concept or several.

        For each concept the denoiser sees 2·T·n rows for n trajectories of T steps, then P rows forward and backward
        for P points (T·n, or a part of that by the stride), T·n more for a base prompt other than "", and (t + 1)·P for
        t trials. The provenance's measurements hold, for each concept, J (`objective`), the fall of J that zeroing is
        predicted to cause (`predicted_fall`), and Pearson's r of the trials with its 95 % interval, `r_low` to
        `r_high`.

        Args:
            model: The model; it is not changed. Edits on it stay on: the weights are those of the model as it is.
            concept: One concept, or several.
            progress: Called with rows of the denoiser done and in all, a row with its gradient counted three times.
            checkpoint: A folder to save the state in, every 15 seconds and on Ctrl-C. The same call with it goes on to
                the same edit, bit by bit. It stays until `turpentine.core.tensors.discard` removes it.

        Returns:
            The edit.

        Raises:
            BadArgument: A setting is out of range; raised before any work.
            BadWindow: The window is no part of the schedule.
            EmptySelection: The sites hold no weight to choose from.
            NoMemory: The gradients do not fit into the free memory; the message says what does.
            NotFinite: A gradient is NaN or infinite; the message names the weight and the timestep.
            KeyboardInterrupt: On Ctrl-C; the message says how to go on.
        """
        from turpentine.attribution import attributable
        from turpentine.edits import Edit
        from turpentine.erase._attribution_run import ResumableAttribution
        from turpentine.erase._pruning import union, zero_largest
        from turpentine.erase._scores import scores_of_weights

        concepts = as_concepts(concept, model)
        self._steps()  # which may be none
        names = attributable(model, self.sites)
        self._check_fits(model, names)
        parts = checkpoint_of(checkpoint, model, self._provenance(model, concepts))
        tracker = Tracker(progress, self._rows() * len(concepts))
        masks, measurements = [], []
        for index, each in enumerate(concepts):
            scores: Mapping[str, Tensor]
            if self.score in WITHOUT_GRADIENTS:
                attribution = None
                scores = scores_of_weights(
                    self.score, {name: model.parameter(name) for name in names}, self.seed, index
                )
            else:
                run = ResumableAttribution(parts, index, tracker)
                attribution = self._attribute(model, each, names, run, tracker, is_squared=self.score == "taylor")
                scores = _signless(attribution.alpha) if self.score == "snip" else attribution.alpha
            masks.append(zero_largest(scores, self.share, self.per))
            measurements.append(self._measurements(attribution, masks[-1]))
        return Edit(provenance=self._provenance(model, concepts, collate(measurements)), zeroed=union(masks))

    @torch_mode("inference_mode", False)
    def attribution(self, model: Model, concept: Concept, *, progress: Progress | None = None) -> Attribution:
        """Return α of each weight of the sites for a concept, as the erasure uses it, with its tables and its check.

        Costs and errors are those of the call.
        """
        from turpentine.attribution import attributable
        from turpentine.core.parts import Parts
        from turpentine.erase._attribution_run import ResumableAttribution

        self._steps()  # which may be none
        names, tracker = attributable(model, self.sites), Tracker(progress, self._rows())
        self._check_fits(model, names)
        run = ResumableAttribution(Parts(None, None), 0, tracker)
        return self._attribute(model, concept, names, run, tracker)

    def _attribute(
        self,
        model: Model,
        concept: Concept,
        names: tuple[str, ...],
        run: ResumableAttribution,
        tracker: Tracker,
        *,
        is_squared: bool = False,
    ) -> Attribution:
        from turpentine.attribution import Objective

        is_in_output = self.loss == "output"
        prompts = tuple(concept.prompts[row % len(concept.prompts)] for row in range(self.trajectories))
        rows = 2 * self.sampling_steps * self.trajectories + self._base_rows()

        def make() -> Objective:
            trajectory = self._record(model, prompts, tracker)
            tracker.add(self._base_rows())
            objective = Objective.apart(
                model,
                trajectory,
                base=self.base,
                steps=self._steps(),
                is_in_output=is_in_output,
                guidance_scale=self.guidance_scale,
            )
            return objective[self._counted()]

        how: dict[str, Any] = {"is_in_output": is_in_output, "guidance_scale": self.guidance_scale}
        objective = run.objective(model, prompts, 1.0, rows, make, **how)
        attribution = run.attribution(model, objective, names, self.batch_size, is_squared=is_squared)
        return attribution if is_squared else self._with_check(attribution, tracker)

    def _check_fits(self, model: Model, names: tuple[str, ...]) -> None:
        """Refuse gradients that the free memory is too small for, before any work."""
        from turpentine.attribution import check_attribution_fits

        if self.score not in WITHOUT_GRADIENTS:
            is_squared, is_copied = self.score == "taylor", self.score == "snip"
            is_tried = self.trials > 0 and not is_squared
            how = {"is_squared": is_squared, "is_tried": is_tried, "is_copied": is_copied}
            check_attribution_fits(model, names, self.batch_size, **how)

    def _with_check(self, attribution: Attribution, tracker: Tracker) -> Attribution:
        """Return the attribution with its check: the predicted fall of J against the measured one."""
        from turpentine.attribution import approximation

        if not self.trials:
            return attribution
        points = len(attribution.objective)

        def advanced(done: int, total: int) -> None:
            tracker.add(points)

        check = approximation(
            attribution, trials=self.trials, seed=self.seed, batch_size=self.batch_size, progress=advanced
        )
        tracker.add(points)  # J itself
        return replace(attribution, check=check)

    def _record(self, model: Model, prompts: tuple[str, ...], tracker: Tracker) -> Trajectory:
        from turpentine.erase._training.draws import draws, noise_seeds
        from turpentine.models import Trajectory

        start = tracker.done
        return Trajectory.record(
            model,
            prompts,
            noise_seeds(draws("trajectories", self.seed), len(prompts)),
            steps=self.sampling_steps,
            guidance_scale=self.guidance_scale,
            progress=lambda done, total: tracker.reach(start + 2 * done),
        )

    def _rows(self) -> int:
        """Return the number of rows of the denoiser for one concept, as progress counts them."""
        from turpentine.erase._training.training import TRAINED_ROW

        if self.score in WITHOUT_GRADIENTS:
            return 0
        checked = self.trials + 1 if self.trials and self.score != "taylor" else 0
        points = (TRAINED_ROW + checked) * self._points()
        return 2 * self.sampling_steps * self.trajectories + self._base_rows() + points

    def _base_rows(self) -> int:
        """Return the rows that predict the base: none for the empty prompt, which is in the stored runs."""
        return len(self._steps()) * self.trajectories if self.base else 0

    def _points(self) -> int:
        return len(self._counted())

    def _counted(self) -> list[int]:
        """Return the points of J among all steps of all runs, which are in the order of the steps."""
        steps, runs = len(self._steps()), self.trajectories
        return [step * runs + run for step in range(steps) for run in range(runs) if (step - run) % self.stride == 0]

    def _steps(self) -> range:
        """Return the sampling steps that count."""
        return window_of(self.window, self.sites).counted(self.sampling_steps)

    def _measurements(self, attribution: Attribution | None, mask: Mapping[str, Zeroed]) -> dict[str, float]:
        """Return J of a concept, the predicted fall that the mask causes, and how well such predictions hold."""
        if attribution is None:
            return {}
        if self.score == "taylor":
            return {"objective": attribution.value}
        fall = attribution.predicted({name: zeroed.positions for name, zeroed in mask.items()})
        check = attribution.check
        agreement = {} if check is None else {"r": check.r, "r_low": check.low, "r_high": check.high}
        return {"objective": attribution.value, "predicted_fall": fall, **agreement}

    def _provenance(
        self, model: Model, concepts: tuple[Concept, ...], measurements: Mapping[str, Any] | None = None
    ) -> Provenance:
        # The names of sites say nothing of their window, so that it counts as the settings' own.
        return provenance_of(self, model, concepts, measurements, window=astuple(window_of(self.window, self.sites)))


def _signless(alpha: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: each.abs() for name, each in alpha.items()}
