"""The vectors that CCE learns, their optimizer, and the guidance inside the loss."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int
from torch import Tensor

from turpentine.models import Artefact, Conditioning, Model
from turpentine.models.artefact import PLACEHOLDER, placed, word_ids
from turpentine.models.text import reworded

if TYPE_CHECKING:
    from turpentine.attack.cce import CCE
    from turpentine.attack.harness import Search, Trial

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
        self._guide, times = None, 1
        if model.guidance is not None:
            self._guide, times = _guided(model, attack, search.trial)
        rows = attack.batch * times
        self.unit = {"forward": rows, "backward": rows, "text": 1 if times == 1 else 2}

    def update(self) -> None:
        """Take one step of Adam."""
        x0, noise, t = self._example()
        with torch.enable_grad():
            vectors = placed(self._model, self._ids, self._places, self.vectors)
            cond = self._model.encode_tokens(self._ids, vectors)
            x = self._model.schedule.add_noise(x0, noise, t)
            eps = self._guide(x, t, cond) if self._guide else self._model.eps(x, t, cond.repeat(len(x)))
            loss = (eps - noise).pow(2).mean()
            self._adam.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
        self._adam.step()
        self.done, self.loss = self.done + 1, loss.item()

    def _example(self) -> tuple[Float[Tensor, "batch ..."], Float[Tensor, "batch ..."], Int[Tensor, " batch"]]:
        """Return pictures, noise and timesteps of this update, which hang on the seed and its number alone."""
        dice = torch.Generator().manual_seed(self._search.seed * 1_000_003 + self.done)
        batch, device = self._attack.batch, self._x0.device
        rows = torch.randint(len(self._x0), (batch,), generator=dice).to(device)
        noise = torch.randn((batch, *self._x0.shape[1:]), generator=dice).to(device)
        count = 1 if self._guide is not None else batch  # a guidance knows one step at a time
        t = torch.randint(self._model.schedule.training_steps, (count,), generator=dice).expand(batch).to(device)
        return self._x0[rows], noise, t

    def artefact(self) -> Artefact:
        """Return the word as it is now."""
        about = {"attack": self._attack.name, "concept": self._search.concept.text, "model": self._model.name}
        return Artefact(
            (self.prompt,), vectors={name: each.detach().clone() for name, each in self.vectors.items()}, about=about
        )

    def state(self) -> Vectors:
        """Return what the next update hangs on."""
        state = {"done": torch.tensor(self.done)}
        for name, vector in self.vectors.items():
            own = self._adam.state[vector]
            state |= {f"{name}.value": vector.detach(), **{f"{name}.{key}": own[key] for key in _MOMENTS}}
        return state

    def restore(self, state: Vectors | None) -> None:
        """Go on from a state."""
        if state is None:
            return
        self.done = int(state["done"])
        for name, vector in self.vectors.items():
            with torch.no_grad():
                vector.copy_(state[f"{name}.value"])
            self._adam.state[vector] = {
                key: state[f"{name}.{key}"].to("cpu" if key == "step" else vector.device).clone() for key in _MOMENTS
            }


_MOMENTS = ("step", "exp_avg", "exp_avg_sq")


def _begun(model: Model, init: str) -> dict[str, Float[Tensor, "1 width"]]:
    """Return the vectors that a word begins as, in fp32: those of a word that the model knows, or the mean of all."""
    tables = {name: table.detach().float() for name, table in model.family.token_tables().items()}
    if model.text.unknown_words(init):
        return {name: table.mean(0, keepdim=True) for name, table in tables.items()}
    places = model.text.find(init, init)
    ids = {name: rows[0, list(places.subject)] for name, rows in model.family.tokenize([init]).items()}
    return {name: table[ids[name].to(table.device)].mean(0, keepdim=True) for name, table in tables.items()}


def _guided(model: Model, attack: CCE, trial: Trial) -> tuple[Callable[[Tensor, Tensor, Conditioning], Tensor], int]:
    """Return what the sampler would take with the guidance that is on the model, for all rows at one timestep.

    And how many rows of the denoiser that takes for each.
    """
    scale = trial.guidance_scale if attack.loss_guidance_scale is None else attack.loss_guidance_scale
    guidance = model.guidance
    assert guidance is not None
    empty = model.encode([""]).repeat(attack.batch)

    def predicted(x: Tensor, t: Tensor, cond: Conditioning) -> Tensor:
        with torch.no_grad():
            run = guidance.start(model, attack.batch, scale, trial.steps)
        own = cond.repeat(len(x))
        groups = [empty, own] if run.needs_uncond else [own]
        groups += [run.extra.sized_as(own)] if run.extra is not None else []
        whole = Conditioning.cat(groups)
        times = len(whole) // len(x)
        eps = model.eps(x.repeat(times, 1, 1, 1), t.repeat(times), whole)
        first = len(x) if run.needs_uncond else 0
        index = round((1 - t[0].item() / model.schedule.training_steps) * (trial.steps - 1))
        uncond, plain, extra = eps[:first], eps[first : first + len(x)], eps[first + len(x) :]
        return run(index, uncond if first else None, plain, extra if len(extra) else None)

    first = guidance.start(model, attack.batch, scale, trial.steps)
    each = 1 + int(first.needs_uncond) + (len(first.extra) // attack.batch if first.extra is not None else 0)
    return predicted, each
