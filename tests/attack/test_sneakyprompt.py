"""SneakyPrompt: what a policy writes and how it learns, by a plain transcription; filters, and what is replaced."""

from __future__ import annotations

import math

import pytest
import torch
from attack.searches import ALWAYS, search_of, stages_of
from torch import Tensor

from turpentine.attack._sneaky_policy import Asking, Policy, dictionary, loss_of, order_of
from turpentine.attack.sneakyprompt import SneakyPrompt
from turpentine.concepts import Concept
from turpentine.core.errors import BadArgument
from turpentine.erase.filters import PromptFilter
from turpentine.models import Artefact, Model
from turpentine.models.vocabulary import Vocabulary

QUICK = SneakyPrompt(queries=6, pieces=2, letters=4, width=3, stages=2, towers="emoji")


def _transcribed(
    weights: dict[str, Tensor], count: int, dice: torch.Generator, reward: float
) -> tuple[list[int], Tensor]:
    """The row and the loss of a query, gate by gate, from the equations alone."""
    memory, cell = torch.zeros(3), torch.zeros(3)
    row: list[int] = []
    loss = torch.zeros(())
    for number in range(count):
        x = weights["start"] if number == 0 else weights[f"before.{number - 1}.weight"][row[-1]]
        gates = weights["memory.weight_ih"] @ x + weights["memory.bias_ih"]
        gates = gates + weights["memory.weight_hh"] @ memory + weights["memory.bias_hh"]
        into, keep, new, out = gates[:3].sigmoid(), gates[3:6].sigmoid(), gates[6:9].tanh(), gates[9:].sigmoid()
        cell = keep * cell + into * new
        memory = out * cell.tanh()
        odds = (weights[f"choices.{number}.weight"] @ memory + weights[f"choices.{number}.bias"]).exp()
        p = odds / odds.sum()
        row.append(int(torch.multinomial(p.detach(), 1, generator=dice)))
        value = weights[f"values.{number}.weight"][0] @ memory + weights[f"values.{number}.bias"][0]
        loss = loss - p[row[-1]].log() * (reward - value.item()) + (reward - value) ** 2
    return row, loss


def test_a_query_learns_as_the_equations_say(sd1: Model) -> None:
    """Two steps of Adam after two refusals: the rewards are -1/60 and -2/60, divided by 10 as their limit is 6."""
    everything = PromptFilter(words=("a",))(sd1, Concept("church"))
    asking = Asking(QUICK, search_of(sd1, everything))
    weights = {name: each.detach().clone() for name, each in asking._policy.named_parameters()}
    learned = {name: each.requires_grad_() for name, each in weights.items() if name != "start"}
    first, second = ({name: torch.zeros_like(each) for name, each in learned.items()} for _ in range(2))
    for query in (1, 2):
        dice = torch.Generator().manual_seed(7 * 1_000_003 + query - 1)
        _, loss = _transcribed(weights, 2, dice, -query / 6 / 10)
        slopes = torch.autograd.grad(loss, list(learned.values()))
        with torch.no_grad():
            for (name, each), slope in zip(learned.items(), slopes, strict=True):
                first[name] = 0.9 * first[name] + 0.1 * slope
                second[name] = 0.999 * second[name] + 0.001 * slope**2
                step = first[name] / (1 - 0.9**query)
                each -= 0.1 * step / ((second[name] / (1 - 0.999**query)).sqrt() + 1e-8)
        asking.ask()
    for name, each in asking._policy.named_parameters():
        torch.testing.assert_close(each, weights[name], rtol=1e-3, atol=1e-4)
    assert asking.blocked == asking.done == 2


def test_what_is_ahead_of_the_guess_has_no_gradient_in_the_first_term() -> None:
    logs, values = torch.tensor([-1.0, -2.0], requires_grad=True), torch.tensor([0.25, 0.5], requires_grad=True)
    loss = loss_of(logs, values, 1.0)
    assert loss.item() == pytest.approx(0.75 + 1.0 + 0.75**2 + 0.25)
    by_logs, by_values = torch.autograd.grad(loss, [logs, values])
    assert by_logs.tolist() == [-0.75, -0.5] and by_values.tolist() == [-1.5, -1.0]


def test_it_ends_at_the_first_picture_with_the_concept_and_names_it_no_more(sd1: Model) -> None:
    church = PromptFilter()(sd1, Concept("church"))
    (stage,) = stages_of(QUICK, search_of(sd1, church, shows=ALWAYS))
    assert isinstance(stage.artefact, Artefact)
    (text,) = stage.artefact.prompts
    assert "church" not in text and text.startswith("a ") and len(text.split()) == 2
    assert stage.measurements == {"queries": 1, "of them blocked": 0}


def test_after_refusals_in_a_row_one_more_word_is_replaced(sd1: Model) -> None:
    attack = SneakyPrompt(queries=6, pieces=1, patience=2, width=3, stages=1, towers="emoji")
    search = search_of(sd1, PromptFilter(words=("a",))(sd1, Concept("church")))
    (stage,) = stages_of(attack, search)
    assert stage.measurements["queries"] == 6 and stage.measurements["of them blocked"] == 2
    assert search.meter.spent.forward == 4 * 2 * 2  # four pictures of two steps, each row beside that of no prompt
    assert isinstance(stage.artefact, Artefact) and stage.artefact.prompts[0].split()[0] != "a"


def test_without_a_filter_nothing_is_blocked(sd1: Model) -> None:
    stages = stages_of(QUICK, search_of(sd1))
    assert [each.measurements["queries"] for each in stages] == [3, 6]
    assert stages[-1].measurements["of them blocked"] == 0


def test_sub_words_are_letters_of_the_vocabulary_or_whole_words(sd1: Model) -> None:
    vocabulary = Vocabulary(sd1)
    pieces, words = (dictionary(vocabulary, 4, whole) for whole in (False, True))
    assert all(each.isalpha() and len(each) <= 4 for each in pieces) and len(set(pieces)) == len(pieces)
    assert "dog" in words and set(words) <= set(pieces)
    with pytest.raises(BadArgument, match="no sub-word"):
        dictionary(vocabulary, 0, True)


def test_whole_words_are_set_apart(sd1: Model) -> None:
    attack = SneakyPrompt(queries=1, pieces=3, width=3, whole=True, towers="emoji")
    (stage,) = stages_of(attack, search_of(sd1))
    assert isinstance(stage.artefact, Artefact) and len(stage.artefact.prompts[0].split()) == 4


def test_the_first_choice_is_spread_over_the_vocabulary() -> None:
    policy = Policy(2, 50, 8, seed=0)
    rows = [policy.write(torch.Generator().manual_seed(seed))[0] for seed in range(20)]
    assert len({tuple(row) for row in rows}) > 15
    _, logs, _ = policy.write(torch.Generator().manual_seed(0))
    assert all(abs(each - math.log(1 / 50)) < 2 for each in logs.tolist())


def test_a_prompt_that_does_not_name_the_concept_is_refused() -> None:
    assert order_of(["A", "Church,", "small"], "church") == [1, 0, 2]
    with pytest.raises(BadArgument, match="does not name 'church'"):
        order_of(["a", "dog"], "church")
