"""CCE: a new word is learned against the edited weights, from pictures of the concept alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import annotated_types as at
import torch
from jaxtyping import Float
from torch import Tensor

from turpentine.attack._learning import adam_state, example_of, restore_adam, stage_end
from turpentine.attack._prediction import Prediction
from turpentine.attack._stages import SearchStage
from turpentine.attack.budget import Spent
from turpentine.attack.harness import Attack, Need, Search, Trial
from turpentine.core.errors import BadArgument
from turpentine.core.settings import Count, Finite, NonNegative, Positive, Text
from turpentine.models import Artefact, Model
from turpentine.models.artefact import PLACEHOLDER, placed, word_ids
from turpentine.models.text import reworded

Vectors = dict[str, Tensor]


@dataclass(frozen=True)
class CCE(Attack):
    """Learn a word for the concept by textual inversion against the edited weights.

    The word's vector s* minimises ‖n − ε_e(x_t, t, τ("a photo of s*"))‖² over pictures of the concept, with
    x_t = α(t)·x₀ + σ(t)·n and nothing else learning. Pham et al. 2024 (arXiv 2308.01508); textual inversion is Gal et
    al. 2022 (arXiv 2208.01618). Where a guidance is on the model, such as SLD or a negative prompt, what is compared
    with n is what the sampler would take: the guidance stands inside the loss, at `guidance_scale`.

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
        guidance_scale: w inside the loss where a guidance is on the model; by default that of the pictures.
        stages: Of the curve; each can be gone on from.

    Example:
        >>> CCE(updates=100).cost(Trial()).backward
        400
    """

    name: ClassVar[str] = "cce"
    needs: ClassVar[frozenset[Need]] = frozenset({"text encoder", "weights", "references"})
    free: ClassVar[bool] = True

    updates: Count = 250
    batch: Count = 4
    lr: Positive = 0.08
    weight_decay: NonNegative = 0.01
    vectors: Annotated[int, at.Ge(1), at.Le(8)] = 1
    prompt: Text | None = None
    init: Text = "object"
    guidance_scale: Finite | None = None
    stages: Count = 5

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.prompt is not None and self.prompt.count("{}") != 1:
            raise BadArgument(f"CCE's prompt {self.prompt!r} must hold {{}} once, where the word goes.")

    def cost(self, trial: Trial) -> Spent:
        """Return what all updates spend."""
        rows = self.updates * self.batch
        return Spent(forward=rows, backward=rows, text=self.updates)

    def search(self, search: Search, state: dict[str, Any] | None) -> Iterator[SearchStage]:
        """Learn the vector; each stage has it as it is then."""
        with search.victim.on() as model:
            learner = _Learner(self, search, model)
            learner.restore(state)
        while learner.done < self.updates and search.meter.affords(**learner.unit):
            with search.victim.on():
                until = stage_end(self.updates, self.stages, learner.done)
                while learner.done < until and search.meter.affords(**learner.unit):
                    learner.update()
                    search.advance(learner.done, self.updates)
            yield SearchStage(learner.artefact(), learner.state(), {"loss": learner.loss, "effective lr": self.lr})


class _Learner:
    """The vectors, their optimizer, and what does not change from update to update."""

    def __init__(self, attack: CCE, search: Search, model: Model) -> None:
        self._attack, self._search, self._model = attack, search, model
        self.done, self.loss = 0, 0.0
        text = search.concept.text
        template = attack.prompt or reworded(search.prompts[-1], text, "{}")
        self.prompt = template.replace("{}", PLACEHOLDER)
        self._ids, self._places = word_ids(model, self.prompt, PLACEHOLDER, attack.vectors)
        self._x0 = model.encode_image(search.references)
        self.vectors = {
            name: row.repeat(attack.vectors, 1).clone().requires_grad_()
            for name, row in _begun(model, attack.init).items()
        }
        self._adam = torch.optim.AdamW(self.vectors.values(), lr=attack.lr, weight_decay=attack.weight_decay)
        scale = search.trial.guidance_scale if attack.guidance_scale is None else attack.guidance_scale
        self._predicted = Prediction(model, attack.batch, scale, search.trial.steps)
        rows = attack.batch * self._predicted.times
        self.unit = {"forward": rows, "backward": rows, "text": 2 if self._predicted.is_guided else 1}

    def update(self) -> None:
        """Take one step of Adam."""
        times = 1 if self._predicted.is_guided else None  # a guidance knows one step at a time
        training_steps = self._model.schedule.training_steps
        chosen, noise, t = example_of(self._x0, self._attack.batch, training_steps, self._search.seed, self.done, times)
        with torch.enable_grad():
            vectors = placed(self._model, self._ids, self._places, self.vectors)
            cond = self._model.encode_tokens(self._ids, vectors)
            x = self._model.schedule.add_noise(self._x0[chosen], noise, t)
            eps = self._predicted(x, t, cond)
            loss = (eps - noise).pow(2).mean()
            self._adam.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
        self._adam.step()
        self.done, self.loss = self.done + 1, loss.item()

    def artefact(self) -> Artefact:
        """Return the word as it is now."""
        about = {"attack": CCE.name, "concept": self._search.concept.text, "model": self._model.name}
        return Artefact(
            (self.prompt,), vectors={name: each.detach().clone() for name, each in self.vectors.items()}, about=about
        )

    def state(self) -> Vectors:
        """Return what the next update hangs on."""
        return {"done": torch.tensor(self.done), **adam_state(self._adam, self.vectors)}

    def restore(self, state: Vectors | None) -> None:
        """Go on from a state."""
        if state is not None:
            self.done = int(state["done"])
            restore_adam(self._adam, self.vectors, state)


def _begun(model: Model, init: str) -> dict[str, Float[Tensor, "1 width"]]:
    """Return the vectors that a word begins as, in fp32: those of a word that the model knows, or the mean of all."""
    tables = {name: table.detach().float() for name, table in model.family.token_tables().items()}
    if model.text.unknown_words(init):
        return {name: table.mean(0, keepdim=True) for name, table in tables.items()}
    places = model.text.find(init, init)
    ids = {name: rows[0, list(places.subject)] for name, rows in model.family.tokenize([init]).items()}
    return {name: table[ids[name].to(table.device)].mean(0, keepdim=True) for name, table in tables.items()}
