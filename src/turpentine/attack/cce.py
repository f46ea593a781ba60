"""CCE: a new word is learned against the edited weights, from pictures of the concept alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import annotated_types as at

from turpentine.attack.budget import Spent
from turpentine.attack.harness import Attack
from turpentine.attack.search import Need, Search
from turpentine.attack.trial import Trial
from turpentine.core.errors import BadArgument
from turpentine.core.settings import Count, Finite, NonNegative, Positive, Text

if TYPE_CHECKING:
    from turpentine.attack._stages import SearchStage
    from turpentine.attack.victim import Victim


@dataclass(frozen=True)
class CCE(Attack):
    """Learn a word for the concept by textual inversion against the edited weights.

    The word's vector s* minimises ‖n − ε_e(x_t, t, τ("a photo of s*"))‖² over pictures of the concept, with
    x_t = α(t)·x₀ + σ(t)·n and nothing else learning. Pham et al. 2024 (arXiv 2308.01508); textual inversion is Gal et
    al. 2022 (arXiv 2208.01618). Where a guidance is on the model, such as SLD or a negative prompt, what is compared
    with n is what the sampler would take: the guidance stands inside the loss, at `loss_guidance_scale`.

    The rate is the effective one. The authors write 5e-3 and scale it by their 4 pictures times 4 accumulations to
    0.08, for 5,000 updates (1,000 against guidances); here 4 pictures an update and 250 updates do.

    Args:
        updates: Of the vector.
        batch: Pictures in an update.
        lr: Adam's rate as it is used, scaled by nothing.
        weight_decay: AdamW's.
        vectors: That the word is made of.
        prompt: With `{}` where the word goes; by default the concept's last prompt, with the word in its place.
        init: The word whose vector the new one begins as; by default "object", and the mean of all words where the
            model does not know it.
        loss_guidance_scale: w inside the loss where a guidance is on the model; by default that of the pictures.
        stages: Of the curve; each can be gone on from.

    Example:
        >>> CCE(updates=100).cost(Trial()).backward
        400
    """

    name: ClassVar[str] = "cce"
    needs: ClassVar[frozenset[Need]] = frozenset({"text encoder", "weights", "references"})
    free: ClassVar[bool] = True
    decides: ClassVar[bool] = True

    updates: Count = 250
    batch: Count = 4
    lr: Positive = 0.08
    weight_decay: NonNegative = 0.01
    vectors: Annotated[int, at.Ge(1), at.Le(8)] = 1
    prompt: Text | None = None
    init: Text = "object"
    loss_guidance_scale: Finite | None = None
    stages: Count = 5

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.prompt is not None and self.prompt.count("{}") != 1:
            raise BadArgument(f"CCE's prompt {self.prompt!r} must hold {{}} once, where the word goes.")

    def cost(self, trial: Trial) -> Spent:
        """Return what all updates spend."""
        rows = self.updates * self.batch
        return Spent(forward=rows, backward=rows, text=self.updates)

    def least(self, victim: Victim, original: Victim | None, trial: Trial) -> Spent:
        """Return what the first update spends."""
        return Spent(forward=self.batch, backward=self.batch, text=1)

    def search(self, search: Search, state: dict[str, Any] | None) -> Iterator[SearchStage]:
        """Learn the vector; each stage has it as it is then."""
        from turpentine.attack._cce_learner import Learner
        from turpentine.attack._learning import stage_end
        from turpentine.attack._stages import SearchStage
        from turpentine.models.few_rows import threads_for

        with search.victim.on() as model, search.meter.repeating(state is not None):
            learner = Learner(self, search, model)
            learner.restore(state)
        while learner.done < self.updates and search.meter.affords(**learner.unit):
            with search.victim.on(), threads_for(model, learner.unit["forward"]):
                until = stage_end(self.updates, self.stages, learner.done)
                while learner.done < until and search.meter.affords(**learner.unit):
                    learner.update()
                    search.advance(learner.done, self.updates)
            yield SearchStage(learner.artefact(), learner.state(), {"loss": learner.loss, "effective lr": self.lr})
