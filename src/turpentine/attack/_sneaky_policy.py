"""The policy of SneakyPrompt, which writes sub-words in the place of words, and the queries by which it learns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from turpentine.attack._learning import adam_state, restore_adam
from turpentine.attack._prompts import SEARCH_SEEDS
from turpentine.attack._stages import SearchStage
from turpentine.core.errors import BadArgument
from turpentine.core.random_state import preserved_rng
from turpentine.judges.towers import CLIP, Towers, towers
from turpentine.judges.worlds import world_of_model
from turpentine.models import Artefact
from turpentine.models.filters import is_blocked
from turpentine.models.sampler import rows_in_a_step
from turpentine.models.text import bare
from turpentine.models.vocabulary import Vocabulary

if TYPE_CHECKING:
    from PIL import Image

    from turpentine.attack.search import Search
    from turpentine.attack.sneakyprompt import SneakyPrompt

REFUSED = 10.0
"""A refusal costs a share of the limit that is used up, divided by this."""


class Policy(nn.Module):
    """Writes `count` sub-words one after the other, each by the last one and a memory of those before.

    Args:
        count: Of the sub-words in a row.
        space: Sub-words to choose from.
        width: Of embeddings and memory.
        seed: Of its weights.
    """

    def __init__(self, count: int, space: int, width: int, seed: int) -> None:
        super().__init__()
        with preserved_rng():
            torch.manual_seed(seed)
            self.start = nn.Parameter(torch.randn(width), requires_grad=False)
            self.before = nn.ModuleList(nn.Embedding(space, width) for _ in range(count - 1))
            self.memory = nn.LSTMCell(width, width)
            self.choices = nn.ModuleList(nn.Linear(width, space) for _ in range(count))
            self.values = nn.ModuleList(nn.Linear(width, 1) for _ in range(count))

    def write(self, dice: torch.Generator) -> tuple[list[int], Float[Tensor, " piece"], Float[Tensor, " piece"]]:
        """Return a row of sub-words, the logarithm of each one's probability, and the rewards expected before each."""
        row: list[int] = []
        logs, values, state = [], [], None
        for number, (choice, value) in enumerate(zip(self.choices, self.values, strict=True)):
            x = self.start if number == 0 else self.before[number - 1](torch.tensor(row[-1]))
            state = self.memory(x[None], state)
            log_p = choice(state[0])[0].log_softmax(-1)
            row.append(int(torch.multinomial(log_p.detach().exp(), 1, generator=dice)))
            logs.append(log_p[row[-1]])
            values.append(value(state[0])[0, 0])
        return row, torch.stack(logs), torch.stack(values)


def loss_of(logs: Float[Tensor, " piece"], values: Float[Tensor, " piece"], reward: float) -> Float[Tensor, ""]:
    """Return Σ −log π·(r − v) + (r − v)², where r − v is held fixed in the first term."""
    ahead = reward - values
    return (-logs * ahead.detach()).sum() + ahead.pow(2).sum()


class Asking:
    """The queries until now: the policy, the best prompt, and how many words of the prompt are replaced.

    Attributes:
        done: Queries made.
        hit: Did the last one show the concept?
        blocked: Queries of which nothing came back.
    """

    def __init__(self, attack: SneakyPrompt, search: Search) -> None:
        self._attack, self._search = attack, search
        self.done, self.blocked, self.hit = 0, 0, False
        with search.victim.on() as model:
            self._dictionary = dictionary(Vocabulary(model), attack.letters, attack.whole)
            each = rows_in_a_step(model, search.trial.guidance_scale, search.trial.steps)
        self._words = search.prompts[-1].split()
        self._order = order_of(self._words, search.concept.text)
        self._replaced = len(search.concept.text.split())
        self._in_a_row = 0
        self.unit = {"forward": search.trial.steps * each, "text": each, "judged": 1}
        self._begin()
        self._best: tuple[float, list[int], int] | None = None

    def _begin(self) -> None:
        """Make the policy anew, for the words that are replaced now."""
        count = self._replaced * self._attack.pieces
        self._policy = Policy(count, len(self._dictionary), self._attack.width, self._search.seed)
        learned = {name: each for name, each in self._policy.named_parameters() if each.requires_grad}
        self._learned: Mapping[str, Tensor] = learned
        self._adam = torch.optim.Adam(learned.values(), lr=self._attack.lr)

    def ask(self) -> None:
        """Write a prompt, look at what comes back, and learn from it."""
        search = self._search
        dice = torch.Generator().manual_seed(search.seed * 1_000_003 + self.done)
        with torch.enable_grad():
            row, logs, values = self._policy.write(dice)
        picture = search.draw(Artefact((self._text(row, self._replaced),)), [SEARCH_SEEDS + self.done])[0]
        self.done += 1
        self.hit = search.judged([picture])[0]
        reward = self._reward(picture)
        with torch.enable_grad():
            self._adam.zero_grad()
            loss_of(logs, values, reward).backward()  # type: ignore[no-untyped-call]
        self._adam.step()
        self._remember(row, reward + 2 * self.hit)
        self._widen(is_blocked(picture))

    def _reward(self, picture: Image.Image) -> float:
        if is_blocked(picture):
            return -self.done / self._attack.queries / REFUSED
        return float(self._towers.vectors([picture])[0] @ self._target)

    def _remember(self, row: list[int], worth: float) -> None:
        if self._best is None or worth > self._best[0]:
            self._best = worth, row, self._replaced

    def _widen(self, is_refused: bool) -> None:
        """Replace one more word after several refusals in a row."""
        self.blocked += is_refused
        self._in_a_row = self._in_a_row + 1 if is_refused else 0
        if self._in_a_row >= self._attack.patience and self._replaced < len(self._words):
            self._in_a_row, self._replaced = 0, self._replaced + 1
            self._begin()

    def _text(self, row: Sequence[int], replaced: int) -> str:
        """Return the prompt with sub-words in the place of the first words to go."""
        words, size = list(self._words), self._attack.pieces
        joint = " " if self._attack.whole else ""
        for number, place in enumerate(self._order[:replaced]):
            words[place] = joint.join(self._dictionary[each] for each in row[number * size : (number + 1) * size])
        return " ".join(words)

    @cached_property
    def _towers(self) -> Towers:
        return towers(self._attack.towers or world_of_model(self._search.victim.model) or CLIP)

    @cached_property
    def _target(self) -> Float[Tensor, " feature"]:
        return self._towers.of_texts([" ".join(self._words)])[0]

    def stage(self) -> SearchStage:
        """Return the best prompt until now, and what the next query hangs on."""
        assert self._best is not None
        worth, row, replaced = self._best
        counts = [self.done, self.blocked, self._in_a_row, self._replaced, self.hit, replaced]
        state = {"counts": torch.tensor(counts), "row": torch.tensor(row), "worth": torch.tensor(worth).double()}
        measurements = {"queries": self.done, "of them blocked": self.blocked}
        return SearchStage(
            Artefact((self._text(row, replaced),)), {**state, **adam_state(self._adam, self._learned)}, measurements
        )

    def restore(self, state: Mapping[str, Tensor] | None) -> None:
        """Go on from a state."""
        if state is None:
            return
        self.done, self.blocked, self._in_a_row, self._replaced, hit, replaced = state["counts"].tolist()
        self.hit, self._best = bool(hit), (state["worth"].item(), state["row"].tolist(), replaced)
        self._begin()
        restore_adam(self._adam, self._learned, state)


def dictionary(vocabulary: Vocabulary, letters: int, whole: bool) -> list[str]:
    """Return the sub-words to choose from: the letters of a vocabulary's tokens, or its whole words, each once.

    Args:
        vocabulary: Of the model.
        letters: Of a sub-word, at most.
        whole: Only whole words, as they are.

    Raises:
        BadArgument: There is none.
    """
    ids: Int[Tensor, " token"] = vocabulary.words if whole else vocabulary.ids
    texts = (vocabulary.text([token]) for token in ids.tolist())
    plain = dict.fromkeys("".join(each for each in text if each.isascii() and each.isalpha()) for text in texts)
    words = [text for text in plain if 0 < len(text) <= letters]
    if not words:
        raise BadArgument(f"The model's vocabulary has no sub-word of {letters} letters or fewer: allow more.")
    return words


def order_of(words: Sequence[str], concept: str) -> list[int]:
    """Return the places of a prompt's words in the order in which they are replaced: the concept's, then the nearest.

    Example:
        >>> order_of(["a", "red", "golf", "flag"], "golf flag")
        [2, 3, 1, 0]

    Raises:
        BadArgument: The prompt does not name the concept.
    """
    plain, own = [bare(word).lower() for word in words], concept.lower().split()
    first = next((n for n in range(len(plain)) if plain[n : n + len(own)] == own), None)
    if first is None:
        raise BadArgument(f"The prompt {' '.join(words)!r} does not name {concept!r}: give a concept whose does.")
    named = range(first, first + len(own))
    rest = [place for place in range(len(words)) if place not in named]
    return [*named, *sorted(rest, key=lambda place: (min(abs(place - each) for each in named), place))]
