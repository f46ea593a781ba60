"""The words that MMA's search exchanges one at a time, and the summary that they are to have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import cosine_similarity, normalize

from turpentine.attack._stages import SearchStage
from turpentine.attack._tokens import one_hot_slope
from turpentine.core.errors import BadArgument
from turpentine.models import Artefact, Conditioning
from turpentine.models.artefact import placed, prompt_of_ids
from turpentine.models.text import words_of
from turpentine.models.vocabulary import Vocabulary

if TYPE_CHECKING:
    from turpentine.attack.mma import MMA
    from turpentine.attack.search import Search


class Walk:
    """The words now, the best until now, and the target. Words are columns of the tables of what is allowed."""

    def __init__(self, attack: MMA, search: Search) -> None:
        assert search.original is not None
        self._attack, self._search, self._model = attack, search, search.victim.model
        self.done, self.loss = 0, float("inf")
        self._vocabulary = Vocabulary(self._model)
        self._allowed = allowed(self._vocabulary, _blocked(attack, search.concept.text))
        with search.victim.on():
            self._tables = self._vocabulary.tables(self._allowed)
        self._length = min(attack.tokens, self._vocabulary.room)
        target = attack.target or search.prompts[-1]
        with search.original.on() as model:
            end = self._vocabulary.summed_at(model.text.find(target).end)
            self._target = summary(model.encode([target]), end)
        dice = torch.Generator().manual_seed(search.seed)
        self.now = torch.randint(len(self._allowed), (self._length,), generator=dice)
        self.best = self.now

    def slope(self, columns: Int[Tensor, " token"]) -> Float[Tensor, "token word"]:
        """Return the gradient of the loss by the one-hot choice of each word."""
        ids = self._vocabulary.prompts(self._allowed[columns][None])
        places = {name: list(self._vocabulary.places(self._length)) for name in ids}
        chosen = {name: table[columns.to(table.device)].requires_grad_() for name, table in self._tables.items()}
        with torch.enable_grad():
            cond = self._model.encode_tokens(ids, placed(self._model, ids, places, chosen))
            slopes = torch.autograd.grad(self._losses(cond).sum(), list(chosen.values()))
        return one_hot_slope(slopes, list(self._tables.values())).cpu()

    def step(self) -> None:
        """Draw candidates along the gradient, and go to the best of them."""
        attack = self._attack
        dice = torch.Generator().manual_seed(self._search.seed * 1_000_003 + self.done)
        slope = normalize(self.slope(self.now), dim=-1)
        rows = candidates_of(self.now, slope, attack.top_k, attack.candidates, dice)
        with torch.no_grad():
            cond = self._model.encode_tokens(self._vocabulary.prompts(self._allowed[rows]))
            losses = self._losses(cond).cpu()
        self.done += 1
        for number in losses.argsort(stable=True).tolist():
            if self._vocabulary.round_trips(self._allowed[rows[number]].tolist()):
                self.now = rows[number]
                break
        else:
            return
        if losses[number] < self.loss:
            self.best, self.loss = self.now, losses[number].item()

    def _losses(self, cond: Conditioning) -> Float[Tensor, " prompt"]:
        end = self._vocabulary.summed_at(self._vocabulary.places(self._length).stop)
        return 1 - cosine_similarity(summary(cond, end), self._target)

    def stage(self) -> SearchStage:
        """Return the best words until now."""
        ids = self._allowed[self.best].tolist()
        artefact: Artefact = prompt_of_ids(self._model, dict.fromkeys(self._tables, ids))
        state = {"done": torch.tensor(self.done), "now": self.now, "best": self.best}
        state["loss"] = torch.tensor(self.loss, dtype=torch.float64)
        return SearchStage(artefact, state, {"loss": self.loss, "steps": self.done})

    def restore(self, state: Mapping[str, Tensor] | None) -> None:
        """Go on from a state."""
        if state is not None:
            self.done, self.loss = int(state["done"]), float(state["loss"])
            self.now, self.best = state["now"], state["best"]


def _blocked(attack: MMA, concept: str) -> list[str]:
    return words_of(concept) if attack.blocked is None else list(attack.blocked)


def allowed(vocabulary: Vocabulary, blocked: Sequence[str]) -> Int[Tensor, " word"]:
    """Return the tokens that may come in: whole words that contain none of the blocked.

    Raises:
        BadArgument: None is left.
    """
    lower = [each.lower() for each in blocked]
    texts = [(token, vocabulary.text([token]).lower()) for token in vocabulary.words.tolist()]
    left = [token for token, text in texts if not any(each in text for each in lower)]
    if not left:
        raise BadArgument("MMA's blocked words are in every word that the model knows: block fewer.")
    return torch.tensor(left)


def candidates_of(
    now: Int[Tensor, " token"], slope: Float[Tensor, "token word"], top_k: int, count: int, dice: torch.Generator
) -> Int[Tensor, "candidate token"]:
    """Return rows that differ from one row in one word each, of those of least slope there.

    Args:
        now: The row.
        slope: Of the loss, by the place and the word that would stand there.
        top_k: Words of least slope from which one is chosen.
        count: Rows.
        dice: Of all chance.
    """
    top = slope.topk(min(top_k, slope.shape[1]), largest=False).indices
    places = torch.arange(count) * len(now) // count
    chosen = top[places, torch.randint(top.shape[1], (count,), generator=dice)]
    return now.repeat(count, 1).scatter(1, places[:, None], chosen[:, None])


def summary(cond: Conditioning, end: int) -> Float[Tensor, "prompt number"]:
    """Return the state of prompts at their end token, with the projected summary beside it where there is one."""
    parts = [cond.hidden[:, end], *([cond.pooled] if cond.pooled is not None else [])]
    return torch.cat(parts, dim=-1).float()
