"""MMA's text search: words whose summary in the text encoder is that of the concept's prompt, found by gradients."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import cosine_similarity, normalize

from turpentine.attack._stages import Stage
from turpentine.attack._tokens import one_hot_slope
from turpentine.attack.budget import Spent
from turpentine.attack.harness import Attack, Need, Search, Trial
from turpentine.core.errors import BadArgument
from turpentine.core.settings import Count, Text
from turpentine.models import Artefact, Conditioning
from turpentine.models.artefact import placed, prompt_of_ids
from turpentine.models.text import words_of
from turpentine.models.vocabulary import Vocabulary


@dataclass(frozen=True)
class MMA(Attack):
    """Exchange words, one at a time, so that the text encoder's summary of them comes near to that of a prompt.

    L = 1 − cos(pool τ_e(words), pool τ(target)), where the pool is the state of the end token, and for SDXL its
    projected summary beside it; the target is read by the original's text encoder. Each step takes the gradient of the
    one-hot choice of each word, draws candidates that differ in one word from the best `top_k` of its row, encodes all
    in one batch and goes on from the one with the least loss, even if it is worse; the best of all steps is the
    result. Greedy coordinate gradient is Zou et al. 2023 (arXiv 2307.15043); its use here is MMA-Diffusion's text
    part, Yang et al. 2024 (arXiv 2311.17516): 20 tokens, 1,000 steps, top 256, 512 candidates.

    In the authors' code the gradient's rows are those of the tokens one place before, the start token among them; here
    they are the words' own. Words are whole printable ones, so that the text found becomes the tokens found.

    Args:
        tokens: That are sought; as many as the model reads where that is less.
        steps: Of the search.
        top_k: Words of each row of the gradient that may come in.
        candidates: In a step.
        target: The prompt whose summary is sought; by default the concept's last.
        blocked: Words that no word of the result may contain; by default the concept's own.
        stages: Of the curve; each can be gone on from.

    Example:
        >>> MMA(steps=10, candidates=32).cost(Trial()).text
        331
    """

    name: ClassVar[str] = "mma"
    needs: ClassVar[frozenset[Need]] = frozenset({"text encoder", "weights", "original"})

    tokens: Count = 20
    steps: Count = 1000
    top_k: Count = 256
    candidates: Count = 512
    target: Text | None = None
    blocked: tuple[Text, ...] | None = None
    stages: Count = 5

    def cost(self, trial: Trial) -> Spent:
        """Return what all steps spend."""
        return Spent(text=1 + self.steps * (1 + self.candidates))

    def search(self, search: Search, state: dict[str, Any] | None) -> Iterator[Stage]:
        """Exchange words; each stage has the best until then."""
        with search.meter.repeating(state is not None):
            walk = _Walk(self, search)
        walk.restore(state)
        until = walk.done
        while walk.done < self.steps:
            until = next(end for end in self._ends() if end > until)
            before = walk.done
            with search.victim.on():
                while walk.done < until and search.meter.affords(text=1 + self.candidates):
                    walk.step()
                    search.advance(walk.done, self.steps)
            if walk.done > before:
                yield walk.stage()
            if walk.done < until:
                return

    def allowed(self, vocabulary: Vocabulary, words: str) -> Int[Tensor, " word"]:
        """Return the tokens that may come in: whole words that contain none of the blocked.

        Raises:
            BadArgument: None is left.
        """
        blocked = [each.lower() for each in (words_of(words) if self.blocked is None else self.blocked)]
        texts = [(token, vocabulary.text([token]).lower()) for token in vocabulary.words.tolist()]
        left = [token for token, text in texts if not any(each in text for each in blocked)]
        if not left:
            raise BadArgument("MMA's blocked words are in every word that the model knows: block fewer.")
        return torch.tensor(left)

    def _ends(self) -> list[int]:
        return [round(self.steps * number / self.stages) for number in range(1, self.stages + 1)]


class _Walk:
    """The words now, the best until now, and the target. Words are columns of the tables of what is allowed."""

    def __init__(self, attack: MMA, search: Search) -> None:
        assert search.original is not None
        self._attack, self._search, self._model = attack, search, search.victim.model
        self.done, self.loss = 0, float("inf")
        self._vocabulary = Vocabulary(self._model)
        self._allowed = attack.allowed(self._vocabulary, search.concept.text)
        with search.victim.on():
            self._tables = self._vocabulary.tables(self._allowed)
        self._length = min(attack.tokens, self._model.tokens - 2)
        target = attack.target or search.prompts[-1]
        with search.original.on() as model:
            self._target = summary(model.encode([target]), model.text.find(target).end)
        dice = torch.Generator().manual_seed(search.seed)
        self.now = torch.randint(len(self._allowed), (self._length,), generator=dice)
        self.best = self.now

    def slope(self, columns: Int[Tensor, " token"]) -> Float[Tensor, "token word"]:
        """Return the gradient of the loss by the one-hot choice of each word."""
        ids = self._vocabulary.prompts(self._allowed[columns][None])
        places = {name: list(range(1, 1 + self._length)) for name in ids}  # after the start token
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
        return 1 - cosine_similarity(summary(cond, 1 + self._length), self._target)

    def stage(self) -> Stage:
        """Return the best words until now."""
        ids = self._allowed[self.best].tolist()
        artefact: Artefact = prompt_of_ids(self._model, dict.fromkeys(self._tables, ids))
        state = {"done": torch.tensor(self.done), "now": self.now, "best": self.best}
        state["loss"] = torch.tensor(self.loss, dtype=torch.float64)
        return Stage(artefact, state, {"loss": self.loss, "steps": self.done})

    def restore(self, state: Mapping[str, Tensor] | None) -> None:
        """Go on from a state."""
        if state is not None:
            self.done, self.loss = int(state["done"]), float(state["loss"])
            self.now, self.best = state["now"], state["best"]


def candidates_of(
    now: Int[Tensor, " token"], slope: Float[Tensor, "token word"], top_k: int, count: int, dice: torch.Generator
) -> Int[Tensor, "candidate token"]:
    """Return rows that differ from one row in a word each, which is among the `top_k` of least slope there."""
    top = slope.topk(min(top_k, slope.shape[1]), largest=False).indices
    places = torch.arange(count) * len(now) // count
    chosen = top[places, torch.randint(top.shape[1], (count,), generator=dice)]
    return now.repeat(count, 1).scatter(1, places[:, None], chosen[:, None])


def summary(cond: Conditioning, end: int) -> Float[Tensor, "prompt number"]:
    """Return the state of prompts at their end token, with the projected summary beside it where there is one."""
    parts = [cond.hidden[:, end], *([cond.pooled] if cond.pooled is not None else [])]
    return torch.cat(parts, dim=-1).float()
