"""The flags of `turpentine audit`: what an edit is held against, and how long that may take."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Group, Parameter
from cyclopts.types import PositiveInt, UInt32

from turpentine.cli.attacked_edit import affordable_attacks
from turpentine.cli.checks import check_folder, check_guidance_scale
from turpentine.cli.help_text import with_help
from turpentine.cli.options import NO_JUDGE, OUTPUT, check_judge_flag
from turpentine.cli.terminal import plain
from turpentine.core.errors import BadArgument
from turpentine.core.plugins import find

if TYPE_CHECKING:
    from turpentine.attack import Attack, Budget, Trial
    from turpentine.models import Model

AuditFlags = Parameter(name="*", group=Group("Auditing", sort_key=2))
AUDITED = Path("audited")
AUTO, NONE = "auto", "none"


@with_help
@dataclass(frozen=True)
class AuditChoice:
    """What an edit is held against, and how long that may take.

    Args:
        original: Where others made the edited model of --model: the model that they made it from.
        oracle: A model that never saw the concept, trained as the other one was; several of other seeds, once for each.
            By default, in the emoji world, those that ship or lie in runs/; none for none. Without one nothing is gone.
        unnamed: A model that saw the concept and never its name, likewise.
        attack: The attack to take, once for each; by default all that cost little.
        by: Who says whether a picture shows the concept; by default the emoji world's judge, and clip for other models.
        second: A judge of another family beside it, or none; by default towers, if they are here.
        judge_error: The file of a study with how often the judge is right; by default counted on rendered pictures.
        minutes: The time that it may take; the best plan for it is chosen.
        pictures: Pictures of each arm, by name and of each attack; by default what the margin takes.
        quick: Take few pictures, and attacks for five minutes: it can then say broken, not erased, hidden or
            inconclusive.
        max_forward: Most rows of the denoiser that each search may spend.
        max_judged: Most pictures that each search may show to the judge.
        steps: Steps of the solver for a picture; by default what the model's family takes, 20 in the emoji world.
        guidance_scale: How strongly the prompt guides; by default what the model's family takes, 4 in the emoji world.
        seed: The seed of all chance.
        out: The folder to write to; audited/CONCEPT by default.
    """

    original: str | None = None
    oracle: tuple[str, ...] = (AUTO,)
    unnamed: tuple[str, ...] = (AUTO,)
    attack: tuple[str, ...] = ()
    by: str | None = None
    second: str = AUTO
    judge_error: Path | None = None
    minutes: float | None = None
    pictures: PositiveInt | None = None
    quick: bool = False
    max_forward: PositiveInt | None = None
    max_judged: PositiveInt | None = None
    steps: PositiveInt | None = None
    guidance_scale: float | None = None
    seed: UInt32 = 0
    out: Annotated[Path | None, Parameter(group=OUTPUT)] = None

    def check(self) -> None:
        """Check what can be checked before a model is loaded.

        Raises:
            BadArgument: Something is no time, no number or no place.
            UnknownName: There is no such attack or judge.
        """
        check_judge_flag(self.by)
        if self.second not in (AUTO, NO_JUDGE):
            check_judge_flag(self.second)
        if self.minutes is not None and not (self.minutes > 0 and math.isfinite(self.minutes)):
            raise BadArgument(f"--minutes is {self.minutes}: give a number above 0.")
        if self.quick and self.pictures is not None:
            raise BadArgument("--quick takes few pictures and --pictures says how many: leave one of them out.")
        check_guidance_scale(self.guidance_scale)
        if self.judge_error is not None and not self.judge_error.is_file():
            raise BadArgument(f"There is no file {plain(str(self.judge_error))}: give the one that a study wrote.")
        for name in self.attack:
            find(name, "attack")
        for flag, models in (("--oracle", self.oracle), ("--unnamed", self.unnamed)):
            _check_models(flag, models)
        check_folder(self.out or AUDITED)

    def attacks(self) -> list[Attack]:
        """Return the attacks that are named, or all that cost little."""
        if self.attack:
            return [find(name, "attack").defaults() for name in dict.fromkeys(self.attack)]
        return affordable_attacks()

    def trial(self, model: Model) -> Trial:
        """Return how pictures of a model are drawn."""
        from turpentine.attack import Trial

        return Trial.of(model, steps=self.steps, guidance_scale=self.guidance_scale)

    def budget(self) -> Budget:
        """Return the most that each search may spend."""
        from turpentine.attack import Budget

        return Budget(forward=self.max_forward, judged=self.max_judged)

    def oracles(self, concept: str, *, unnamed: bool, is_world: bool) -> list[str]:
        """Return the oracles that are named, or those of a concept that are here.

        Args:
            concept: What they never saw, or whose name they never saw.
            unnamed: Are they the latter?
            is_world: Is the model one of the emoji world, whose oracles are known by name?
        """
        from turpentine.emoji.oracles import oracles_of

        names = self.unnamed if unnamed else self.oracle
        if names == (AUTO,):
            return oracles_of(concept, unnamed=unnamed) if is_world else []
        return [] if names == (NONE,) else list(names)


def _check_models(flag: str, models: tuple[str, ...]) -> None:
    from turpentine.models.loading.source import check_source

    if len(models) > 1 and {AUTO, NONE} & set(models):
        raise BadArgument(f"{flag} is {' and '.join(models)}: give auto, none, or models alone.")
    for name in models:
        if name not in (AUTO, NONE):
            check_source(name)
