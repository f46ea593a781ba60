"""The contract of an attack as a pytest class: subclass it, say what is attacked, and run pytest."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import polars as pl
import pytest
import torch
from PIL import Image

from turpentine.attack.attacked import Attacked
from turpentine.attack.budget import Budget, ConceptJudge, Meter, Spent
from turpentine.attack.controls import Controls, battery
from turpentine.attack.harness import Attack
from turpentine.attack.trial import Trial
from turpentine.attack.victim import Victim
from turpentine.core.errors import BadArgument
from turpentine.core.random_state import random_states
from turpentine.edits import Edit
from turpentine.judges.base import Column
from turpentine.models import Artefact
from turpentine.testing.state import hook_count, weights_hash
from turpentine.testing.toys import toy

QUICK = Trial(steps=2, pictures=4, curve_pictures=2, original_rate=0)


class CoinJudge:
    """A judge of toys' pictures, whose random networks draw nothing: a coin that the picture tosses."""

    name = "coin"
    revision = "1"
    settings: ClassVar[Mapping[str, Any]] = {}
    needs: ClassVar[frozenset[str]] = frozenset()
    columns: ClassVar[Mapping[str, Column]] = {"object": Column(labels=("church", "dog"))}
    download = None

    def __call__(
        self,
        images: Sequence[Image.Image],
        *,
        prompts: Sequence[str] | None = None,
        references: Sequence[Image.Image] | None = None,
    ) -> pl.DataFrame:
        """Return a church for a picture whose first byte is even, which is chance, else a dog."""
        labels = ["church" if image.tobytes()[0] % 2 == 0 else "dog" for image in images]
        return pl.DataFrame({"object": labels}, schema={"object": pl.String})


class AttackContract:
    """What `turpentine` promises of every attack, as tests on a toy.

    Example:
        >>> class TestMine(AttackContract):
        ...     def attack(self): return MyAttack(updates=2)

    Attributes:
        small: A budget that the attack of `attack` goes over.
    """

    small: ClassVar[Budget] = Budget(forward=9)

    def attack(self) -> Attack:
        """Return the attack under test, with settings that are quick on a toy."""
        raise NotImplementedError("Give the attack under test, with settings that are quick on a toy.")

    @pytest.fixture
    def arms(self) -> tuple[Victim, Victim, list[Image.Image]]:
        """Return an edited toy, its original, and pictures of the concept, shared by all attacks."""
        return _arms()

    def run(self, arms: tuple[Victim, Victim, list[Image.Image]], **how: Any) -> Attacked:
        """Run the attack on the edited toy."""
        edited, original, references = arms
        given = {"original": original, "references": references, "judge": CoinJudge(), "trial": QUICK}
        return self.attack()(edited, "church", **{**given, **how})

    def test_it_is_a_plug_in_that_says_what_it_needs(self) -> None:
        """A frozen dataclass, with a name, and needs that the harness knows."""
        attack = self.attack()
        with pytest.raises(dataclasses.FrozenInstanceError):
            attack.name = "other"  # type: ignore[misc]
        assert attack.name and attack.needs <= {"text encoder", "weights", "original", "references", "judge"}

    def test_it_refuses_to_go_without_what_it_needs(self, arms: Any) -> None:
        """In one sentence that names the thing."""
        for need, empty in (("original", None), ("references", ())):
            if need in self.attack().needs:
                with pytest.raises(BadArgument, match=f"as {need}"):
                    self.run(arms, **{need: empty})
        with pytest.raises(BadArgument, match="a judge"):
            self.run(arms, judge=None)

    def test_it_keeps_its_budget(self, arms: Any) -> None:
        """What the hooks count is not over it; and one that reaches for nothing is refused or spends nothing."""
        spent = self.run(arms, budget=self.small).spent
        for name, limit in dataclasses.asdict(self.small).items():
            assert limit is None or getattr(spent, name) <= limit

    def test_a_budget_for_no_try_is_refused_before_anything_is_drawn(
        self, arms: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """One less than the least that it says of any kind, with which its search would come to nothing too."""
        attack, (edited, original, _) = self.attack(), arms
        least = dataclasses.asdict(attack.least(edited, original, QUICK))
        budgets = [Budget(**{name: count - 1}) for name, count in least.items() if count > 1]
        for budget in budgets:
            meter = Meter(Budget())
            with meter.counting(edited.model), pytest.raises(BadArgument, match=f"for one try of {attack.name}, which"):
                self.run(arms, budget=budget)
            assert meter.spent == Spent()
        monkeypatch.setattr(type(attack), "least", lambda *_: Spent())
        for budget in budgets:
            with pytest.raises(BadArgument, match=f"for one try of {attack.name}: raise it"):
                self.run(arms, budget=budget)

    def test_the_same_seed_gives_the_same_and_leaves_all_as_it_was(self, arms: Any) -> None:
        """Artefact, pictures and what was spent; weights, hooks, artefacts and global random states."""
        model = arms[0].model
        before = weights_hash(model), hook_count(model), random_states()
        one, other = self.run(arms, seed=3), self.run(arms, seed=3)
        assert (weights_hash(model), hook_count(model), random_states()) == before
        assert model.artefact is None and model.guidance is None and not list(model.edits or ())
        assert one.artefact == other.artefact and one.spent == other.spent and one.outcomes == other.outcomes
        assert [each.tobytes() for each in one.pictures] == [each.tobytes() for each in other.pictures]

    def test_resumed_equals_undisturbed(self, arms: Any, tmp_path: Path) -> None:
        """A run that is broken off at each report of progress ends as one that is not, and is over then."""
        whole = self.run(arms, seed=1)
        for stop_after in range(1, 40):
            try:
                resumed = self.run(arms, seed=1, cache=tmp_path, progress=_Stops(stop_after))
            except KeyboardInterrupt:
                continue
            break
        assert resumed.artefact == whole.artefact
        assert (resumed.spent, resumed.tries, resumed.outcomes) == (whole.spent, whole.tries, whole.outcomes)
        assert resumed.table.equals(whole.table)
        meter = Meter(Budget())
        with meter.counting(arms[0].model):
            again = self.run(arms, seed=1, cache=tmp_path)
        assert meter.spent.forward == 0 and again.table.equals(whole.table)
        assert [each.tobytes() for each in again.pictures] == [each.tobytes() for each in whole.pictures]

    def test_its_artefact_draws_the_pictures_from_its_file(self, arms: Any, tmp_path: Path) -> None:
        """Saved, loaded and put on the edited model, it gives the success that was reported."""
        outcome = self.run(arms)
        outcome.artefact.save(tmp_path / "artefact.safetensors")
        if isinstance(outcome.artefact, Artefact):
            assert Artefact.load(tmp_path / "artefact.safetensors") == outcome.artefact
        else:
            assert Edit.load(tmp_path / "artefact.safetensors") == outcome.artefact

    def test_it_runs_on_the_controls(self, arms: Any) -> None:
        """The original, what was never seen, and what only hides, with the same budget."""
        edited, original, references = arms
        judge = ConceptJudge(CoinJudge(), "object", "church")
        outcome = battery(
            [self.attack()],
            edited,
            "church",
            original=original,
            references=references,
            judge=judge,
            trial=QUICK,
            controls=Controls(never=("fish", references, judge)),
        )
        assert {row["arm"] for row in outcome.table.rows(named=True) if row["attack"] == self.attack().name} == {
            "edited",
            "original",
            "never seen",
            "only hidden",
        }


@dataclasses.dataclass
class _Stops:
    """A progress callback that breaks off a run at its nth call."""

    after: int

    def __call__(self, done: int, total: int) -> None:
        self.after -= 1
        if self.after == 0:
            raise KeyboardInterrupt


@cache
def _arms() -> tuple[Victim, Victim, list[Image.Image]]:
    model = toy("sd1")
    model.encode([""])  # transformers leaves hooks of its own on an encoder in its first call
    name = next(iter(model.family.token_table_names().values()))
    delta = torch.randn(model.parameter(name).shape, generator=torch.Generator().manual_seed(0))
    references = list(model.generate("a church", seeds=[0, 1], steps=2))
    return Victim(model, (Edit({name: delta}),)), Victim(model), references
