"""The vectors that CCE learns, their optimizer, and the guidance inside the loss."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from turpentine.attack._learning import adam_state, example_of, restore_adam
from turpentine.attack._prediction import SamplerPrediction
from turpentine.models import Artefact, Model
from turpentine.models.artefact import PLACEHOLDER, placed, word_ids
from turpentine.models.text import reworded

if TYPE_CHECKING:
    from turpentine.attack.cce import CCE
    from turpentine.attack.search import Search

Vectors = dict[str, Tensor]


class Learner:
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
        scale = search.trial.guidance_scale if attack.loss_guidance_scale is None else attack.loss_guidance_scale
        self._predicted = SamplerPrediction(model, attack.batch, scale, search.trial.steps)
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
        about = {"attack": self._attack.name, "concept": self._search.concept.text, "model": self._model.name}
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
    ids = {
        name: rows[0, list(model.text.find(init, init, encoder=name).subject)]
        for name, rows in model.family.tokenize([init]).items()
    }
    return {name: table[ids[name].to(table.device)].mean(0, keepdim=True) for name, table in tables.items()}
