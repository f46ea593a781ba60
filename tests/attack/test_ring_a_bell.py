"""Ring-A-Bell against a plain transcription, and its traps: the best is never lost, and words can be typed."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from attack.searches import search_of, stages_of

from turpentine.attack._breeder import bred
from turpentine.attack.ring_a_bell import RingABell
from turpentine.core.errors import BadArgument
from turpentine.models import Artefact, Model
from turpentine.testing.toys import toy

SMALL = RingABell(tokens=4, population=12, generations=8, stages=8, eta=1.0)


@pytest.fixture(scope="module")
def model() -> Model:
    return toy("sd1")


def bred_by_one(
    parents: list[list[int]], count: int, crossover: float, mutation: float, words: list[int], dice: torch.Generator
) -> list[list[int]]:
    """The authors' loop, child by child, with the same chance."""
    length = len(parents[0])
    first, second = torch.randint(len(parents), (2, count), generator=dice).tolist()
    crosses, mutates = torch.rand((2, count), generator=dice).tolist()
    cuts = torch.randint(1, length, (count,), generator=dice).tolist()
    places = torch.randint(length, (count,), generator=dice).tolist()
    others = torch.randint(len(words), (count,), generator=dice).tolist()
    children = []
    for number in range(count):
        child = list(parents[first[number]])
        if crosses[number] < crossover:
            child = child[: cuts[number]] + list(parents[second[number]])[cuts[number] :]
        if mutates[number] < mutation:
            child[places[number]] = words[others[number]]
        children.append(child)
    return children


def test_children_are_those_of_the_plain_loop() -> None:
    parents = torch.arange(20).reshape(4, 5)
    words = torch.tensor([101, 102, 103])
    children = bred(parents, 40, 0.5, 0.25, words, torch.Generator().manual_seed(3))
    plain = bred_by_one(parents.tolist(), 40, 0.5, 0.25, words.tolist(), torch.Generator().manual_seed(3))
    assert children.tolist() == plain
    assert parents.equal(torch.arange(20).reshape(4, 5))
    kinds = {(len({token // 5 for token in row if token < 100}), any(token > 100 for token in row)) for row in plain}
    assert kinds == {(1, False), (1, True), (2, False), (2, True)}


def transcribed_distance(model: Model, text: str) -> float:
    """The distance of a text from the target, on the pipeline's own encoder."""

    def states(prompt: str) -> torch.Tensor:
        rows = model.pipeline.tokenizer(prompt, padding="max_length", max_length=16, return_tensors="pt")
        result: torch.Tensor = model.pipeline.text_encoder(rows.input_ids)[0][0]
        return result

    pairs = [
        (f"{lead}church", f"{lead}{word}") for word in ("dog", "car", "tree", "house", "fish") for lead in ("", "a ")
    ]
    direction = torch.stack([states(one) - states(other) for one, other in pairs]).mean(0)
    return float((states("a church") + 1.0 * direction - states(text)).pow(2).sum())


def test_the_best_is_never_lost_and_is_what_its_text_gives(model: Model) -> None:
    """Its words are printable ones, so that the prompt typed is the prompt found."""
    stages = stages_of(SMALL, search_of(model))
    distances = [stage.measurements["distance"] for stage in stages]
    assert distances == sorted(distances, reverse=True) and len(set(distances)) > 1
    best = stages[-1].artefact
    assert isinstance(best, Artefact) and best.round_trips(model) and best.prompts[0].isprintable()
    assert distances[-1] == pytest.approx(transcribed_distance(model, best.prompts[0]), rel=1e-4)


def test_a_population_is_sorted_and_only_what_is_new_is_encoded(model: Model) -> None:
    search = search_of(model)
    stages = stages_of(SMALL, search)
    fitness = stages[-1].state["fitness"]
    assert fitness.equal(fitness.sort().values) and len(fitness) == 12
    assert search.meter.spent.forward == 0
    assert search.meter.spent.text <= SMALL.cost(search.trial).text + 1 + 2 * 10


def test_pairs_come_from_a_file_each_once(model: Model, tmp_path: Path) -> None:
    once, twice, bad = (tmp_path / f"{name}.csv" for name in ("once", "twice", "bad"))
    lines = ["a church,a dog", "church on a car,car"]
    once.write_text("\n".join(["with,without", *lines]))
    twice.write_text("\n".join(["with,without", *lines, lines[0], lines[0]]))
    bad.write_text("prompt\na church\n")
    attacks = [RingABell(tokens=4, population=6, generations=1, pairs=path) for path in (once, twice)]
    (one,), (other,) = (stages_of(attack, search_of(model)) for attack in attacks)
    assert one.measurements == other.measurements
    with pytest.raises(BadArgument, match="columns with and without"):
        stages_of(RingABell(pairs=bad), search_of(model))
    with pytest.raises(BadArgument, match="cannot be read"):
        stages_of(RingABell(pairs=tmp_path / "none.csv"), search_of(model))
    with pytest.raises(BadArgument, match="neutral words"):
        stages_of(RingABell(neutral=("church",)), search_of(model))


def test_it_reads_both_encoders_of_sdxl() -> None:
    model = toy("sdxl")
    (stage,) = stages_of(RingABell(tokens=4, population=6, generations=2, stages=1), search_of(model))
    assert isinstance(stage.artefact, Artefact) and stage.artefact.round_trips(model)
