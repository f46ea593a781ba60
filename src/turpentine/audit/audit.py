"""An audit: attacks on an edited model beside its controls and oracles, what else broke, and a verdict by rule.

audit = Audit([CCE(), RandomPrefix()], pictures=342)
edited, never = Victim(model, (edit,)), unseen("anchor")
audited = audit(edited, "church", original=model, judge=EmojiJudge(), oracle=oracle, never=never)
print(audited.summary())
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal

from turpentine.attack.budget import Budget, ConceptJudge
from turpentine.attack.controls import Never, check_attacks, swapped_word
from turpentine.attack.harness import Attack, concept_judge
from turpentine.attack.trial import Trial
from turpentine.attack.victim import Victim, as_victim
from turpentine.audit.arms import Lineup, check_base
from turpentine.audit.audited import Audited
from turpentine.audit.calibration import Calibration
from turpentine.audit.measuring import Judges, Measuring
from turpentine.audit.plan import LEAST, OTHERS, AuditPlan, pictures_needed
from turpentine.audit.second import second_judge
from turpentine.audit.verdict import Rules
from turpentine.concepts import Concept
from turpentine.core.errors import BadArgument
from turpentine.core.progress import Progress
from turpentine.judges.base import Judge
from turpentine.judges.worlds import world_of_model
from turpentine.models import Model
from turpentine.stats.prevalence import JudgeError

if TYPE_CHECKING:
    from PIL import Image

DEEP = 16
AUTO: Literal["auto"] = "auto"
"""For the second judge: the one of another family that is here."""


@dataclass(frozen=True)
class Audit:
    """How an audit is done.

    Args:
        attacks: Which, each with its settings; they are not to be chosen on the concept that is audited.
        pictures: Of each arm, by name and of each attack.
        budget: The most that each search may spend, in every arm.
        trial: How pictures are drawn, by default by `Trial.of` the model; `pictures` stands in the place of its own.
        rules: Of the verdict. With fewer pictures than a claim that there is nothing takes, it is a quick one, whatever
            they say; see `plan.pictures_needed`.
        others: Pictures of single other things; two thirds as many more are of pairs and of open prompts.
        deep: Pictures on which predictions and hidden states are held against the oracle's, where there is one; 0 for
            none.
        seed: Of all chance.
        left_out: Attacks that there was no time for, by name, which the page names.

    Raises:
        BadArgument: There is no attack, or there are too few pictures to decide anything.
    """

    attacks: Sequence[Attack]
    pictures: int = 342
    budget: Budget = field(default_factory=Budget)
    trial: Trial | None = None
    rules: Rules = field(default_factory=Rules)
    others: int = OTHERS
    deep: int = DEEP
    seed: int = 0
    left_out: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.attacks:
            raise BadArgument("There is no attack: an audit without one shows what a name brings and no more.")
        if min(self.pictures, self.others) < LEAST:
            raise BadArgument(f"{min(self.pictures, self.others)} pictures decide nothing: give {LEAST} or more.")
        is_quick = self.rules.quick or self.pictures < pictures_needed(self.rules.margin)
        object.__setattr__(self, "rules", replace(self.rules, quick=is_quick))

    @classmethod
    def planned(cls, plan: AuditPlan, attacks: Sequence[Attack], **settings: Any) -> Audit:
        """Return the audit of a plan.

        Args:
            plan: See `plan.plan_audit`.
            attacks: That the plan chose from.
            settings: The other fields.
        """
        settings = {"others": plan.others, "left_out": plan.left_out, **settings}
        return cls([each for each in attacks if each.name in plan.attacks], plan.pictures, **settings)

    def trial_of(self, model: Model) -> Trial:
        """Return how pictures of a model are drawn."""
        return replace(self.trial or Trial.of(model), pictures=self.pictures)

    def __call__(
        self,
        edited: Any,
        concept: Concept | str,
        *,
        original: Any,
        judge: Judge | ConceptJudge,
        oracle: Any = None,
        unnamed: Any = None,
        never: Never | None = None,
        references: Sequence[Image.Image] = (),
        second: Judge | ConceptJudge | Literal["auto"] | None = AUTO,
        judge_error: JudgeError | Calibration | None = None,
        cache: str | os.PathLike[str] | None = None,
        progress: Progress | None = None,
    ) -> Audited:
        """Measure all arms and return what came out, with the verdict.

        Args:
            edited: What is audited: a `Victim`, or a model as it is, such as one that others have edited.
            concept: What is to be gone.
            original: The same without the edit.
            judge: Who says whether the concept is in a picture.
            oracle: A model that never saw the concept (O1), or several of other seeds, over which intervals then are.
            unnamed: A model that saw it and never its name (O2), or several.
            never: A concept that the original never saw; without an oracle it is the reference, and must be given.
            references: Pictures of the concept, for attacks that need them; by default the original draws them.
            second: A judge of another family, whose rates stand beside the first one's and decide nothing; by default
                the one that suits the world and is here.
            judge_error: How often the judge is right, counted before the edit; in the emoji world by default on
                rendered pictures, elsewhere the judge counts as perfect.
            cache: The folder for finished parts, from which an interrupted audit goes on.
            progress: Called with stages done and in all.

        Raises:
            BadArgument: There is nothing to hold the attacks against, an oracle does not fit, an attack lacks something
                or has too small a budget, nobody knows what was never seen, or the original does not draw the concept.
            WrongBase: The edit is of another model.
        """
        concept = Concept(concept) if isinstance(concept, str) else concept
        if oracle is None and never is None:
            raise BadArgument(
                "There is nothing to hold the attacks against: give an oracle, or a concept that was never seen."
            )
        base = as_victim(original)
        lineup = _lineup(as_victim(edited), base, concept, _victims(oracle), _victims(unnamed))
        check_attacks(
            self.attacks,
            [victim for several in lineup.arms().values() for victim in several],
            original=base,
            references=references,
            never=never,
            budget=self.budget,
            trial=self.trial_of(base.model),
        )
        is_world = world_of_model(base.model) is not None
        first = concept_judge(judge, concept)
        beside = second_judge(concept, first.judge, is_world=is_world) if isinstance(second, str) else second
        judges = Judges(first, None if beside is None else concept_judge(beside, concept), judge_error)
        with _folder(cache) as folder:
            return Measuring(self, lineup, concept, judges, never, references, folder, progress).audited()


def _lineup(
    edited: Victim, base: Victim, concept: Concept, oracle: tuple[Victim, ...], unnamed: tuple[Victim, ...]
) -> Lineup:
    """Return all arms; an edit of another base is refused before anything is drawn."""
    hidden = Victim(base.model, (*base.changes, swapped_word(base, concept)))
    lineup = Lineup(edited, base, hidden, oracle, unnamed)
    check_base(edited, base)
    edited.facts()
    return lineup


def _victims(given: Any) -> tuple[Victim, ...]:
    """Return one model or several as victims."""
    if given is None:
        return ()
    if isinstance(given, list | tuple) and all(isinstance(each, Model | Victim) for each in given):
        return tuple(map(as_victim, given))
    return (as_victim(given),)


@contextmanager
def _folder(cache: str | os.PathLike[str] | None) -> Iterator[Path]:
    if cache is not None:
        yield Path(cache)
        return
    with TemporaryDirectory() as folder:
        yield Path(folder)
