"""One audit under way: what each arm shows by name, otherwise and under attack, and what else broke."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from turpentine.attack.budget import ConceptJudge
from turpentine.attack.controls import EDITED, HIDDEN, NEVER, ORIGINAL, Battery, Controls, Never, battery, judged_never
from turpentine.attack.harness import plain_settings
from turpentine.attack.leak import Leak, leak_of
from turpentine.attack.victim import Victim
from turpentine.audit.arms import SEEDS, Lineup, concept_outcomes, rows_of
from turpentine.audit.audited import Audited
from turpentine.audit.calibration import Calibration, calibrated
from turpentine.audit.damage import Damage, damage
from turpentine.audit.deep import depths, fade, harm
from turpentine.audit.evidence import NAMED, Arms
from turpentine.audit.held_out import beside_prompts, held_out_prompts
from turpentine.audit.plan import beside_pictures
from turpentine.audit.probes import probes_for
from turpentine.audit.verdict import Ruling, check_erasable, ruling
from turpentine.concepts import Concept
from turpentine.core.errors import BadArgument, EditError
from turpentine.core.parts import RECORDS, Parts
from turpentine.core.progress import Progress
from turpentine.edits.formats.whole_model import difference_of
from turpentine.judges.worlds import world_of_model
from turpentine.stats.equivalence import Outcomes, pooled
from turpentine.stats.prevalence import JudgeError

if TYPE_CHECKING:
    from PIL import Image

    from turpentine.audit.audit import Audit

PROMPTS = 40
"""Held-out prompts at most; each is drawn several times."""
BYTES = 4
"""Of a weight as an edit's file holds it."""

Seen = dict[str, Outcomes]
"""What one judge sees, by arm."""


@dataclass(frozen=True, eq=False)
class Judges:
    """Who looks.

    Args:
        first: The judge of the verdict.
        second: One of another family beside it; None for none.
        error: How often the first is right; None to count on rendered pictures where there are any.
    """

    first: ConceptJudge
    second: ConceptJudge | None = None
    error: JudgeError | Calibration | None = None

    @property
    def all(self) -> list[ConceptJudge]:
        """The first, and the second if there is one."""
        return [self.first, *([self.second] if self.second else [])]

    def calibrations(self, concept: Concept, is_world: bool, size: int, folder: Path) -> list[Calibration | None]:
        """Return how often each is right; None where that is not known.

        Args:
            concept: What they are asked for.
            is_world: Whether renders of the emoji world tell it.
            size: Side of a render in pixels.
            folder: Of what is measured already.
        """
        own = Calibration(self.error, "given") if isinstance(self.error, JudgeError) else self.error
        rest = self.all[1:] if own else self.all
        rendered = [calibrated(each, concept, size=size, folder=folder) if is_world else None for each in rest]
        return [own, *rendered] if own else rendered


class Measuring:
    """One audit under way.

    Args:
        audit: How it is done.
        lineup: The arms.
        concept: What is to be gone.
        judges: Who looks.
        never: A concept that the original never saw.
        references: Pictures of the concept.
        folder: Of finished parts.
        progress: Called with stages done and in all.
    """

    def __init__(
        self,
        audit: Audit,
        lineup: Lineup,
        concept: Concept,
        judges: Judges,
        never: Never | None,
        references: Sequence[Image.Image],
        folder: Path,
        progress: Progress | None,
    ) -> None:
        self._audit, self._lineup, self._concept, self._judges = audit, lineup, concept, judges
        self._never, self._references, self._folder, self._progress = never, references, folder, progress
        model = lineup.original.model
        self._trial = audit.trial_of(model).fitting(model, folder)
        self._is_world = world_of_model(model) is not None
        self._prompts = held_out_prompts(concept, PROMPTS, is_world=self._is_world)
        self._beside = beside_prompts(concept, is_world=self._is_world)
        self._calibrations = judges.calibrations(concept, self._is_world, model.size[0], folder)
        self._stages, self._done = 4 + sum(map(len, lineup.compared().values())), 0

    def audited(self) -> Audited:
        """Measure everything, the cheap first, and decide."""
        named = self._named()
        check_erasable(Arms(NAMED, **named[0]))
        beside = {group: self._otherwise(prompts, named) for group, prompts in self._beside.items()}
        self._advance()
        broke = self._damage()
        batteries = dict(self._batteries())
        attacked = {attack.name: self._attacked(attack.name, batteries) for attack in self._audit.attacks}
        seen = {NAMED: named, **attacked}
        verdict = self._ruling(0, seen, beside, broke)
        deep = self._deep() if self._audit.deep and self._lineup.oracles else {}
        self._advance()
        return Audited(
            pl.DataFrame(list(self._rows({**seen, **beside}))),
            f"{self._concept.text} in {self._lineup.edited.model.name}",
            verdict,
            self._protocol(),
            deep,
            self._leak.numbers() if self._leak else {},
            batteries,
            self._error(0),
            broke,
            self._second(seen, beside, broke),
        )

    def _rows(self, seen: Mapping[str, Sequence[Seen]]) -> Iterator[dict[str, Any]]:
        for number, judge in enumerate(self._judges.all):
            for name, arms in seen.items():
                yield from rows_of(name, arms[number], judge.judge.name)

    def _error(self, number: int) -> JudgeError | None:
        calibration = self._calibrations[number]
        return calibration.error if calibration else None

    def _ruling(
        self, number: int, seen: Mapping[str, Sequence[Seen]], beside: Mapping[str, Sequence[Seen]], broke: Damage
    ) -> Ruling:
        return ruling(
            [Arms(name, **arms[number]) for name, arms in seen.items()],
            self._audit.rules,
            others=broke.others,
            judge=self._error(number),
            beside=[Arms(name, **arms[number]) for name, arms in beside.items()],
        )

    def _second(
        self, seen: Mapping[str, Sequence[Seen]], beside: Mapping[str, Sequence[Seen]], broke: Damage
    ) -> Ruling | None:
        """Return the verdict by the second judge; None without one, or where it does not see the concept at all."""
        if self._judges.second is None:
            return None
        try:
            return self._ruling(1, seen, beside, broke)
        except BadArgument:
            return None

    def _named(self) -> list[Seen]:
        """Return what each arm shows of the held-out prompts, and the original of what it never saw."""
        named = self._by_prompts(self._prompts, self._audit.pictures, self._lineup.arms())
        if self._never is not None:
            base, count = self._lineup.original, self._audit.pictures
            other, _, shows = judged_never(self._never, base)
            (never,) = concept_outcomes(base, other.prompts, count, [shows], self._trial, self._folder)
            named = [{**each, "never": never} for each in named]
        self._advance()
        return named

    def _otherwise(self, prompts: Sequence[str], named: Sequence[Seen]) -> list[Seen]:
        """Return what all arms but the one that only hides show of prompts; what was never seen as by name."""
        arms = {name: several for name, several in self._lineup.arms().items() if name != "hidden"}
        never = {name: each for name, each in named[0].items() if name == "never"}
        return [{**each, **never} for each in self._by_prompts(prompts, beside_pictures(self._audit.pictures), arms)]

    def _by_prompts(self, prompts: Sequence[str], count: int, arms: Mapping[str, Sequence[Victim]]) -> list[Seen]:
        """Return for each judge what arms show of prompts."""
        outcomes = {
            name: [
                concept_outcomes(each, prompts, count, self._judges.all, self._trial, self._folder) for each in several
            ]
            for name, several in arms.items()
        }
        return [
            {name: pooled([each[number] for each in several]) for name, several in outcomes.items()}
            for number in range(len(self._judges.all))
        ]

    def _damage(self) -> Damage:
        """Return what else broke."""
        lineup, first = self._lineup, self._judges.first
        probes = probes_for(lineup.original.model, self._concept, first.judge, first.column, self._audit.others)
        self._probes = [[each.group, each.prompt, *each.expected] for each in probes]
        broke = damage(lineup.edited, lineup.original, probes, first.judge, self._trial, self._folder, self._size())
        self._advance()
        return broke

    def _batteries(self) -> Iterator[tuple[str, Battery]]:
        """Run all attacks on all models; the controls are drawn once, for they are parts in the folder."""
        for name, victim in self._named_victims(self._lineup.compared()):
            yield name, self._battery(victim)
            self._advance()

    @staticmethod
    def _named_victims(arms: Mapping[str, Sequence[Victim]]) -> Iterator[tuple[str, Victim]]:
        """Yield every model by the name of its arm, and its number there from the second on."""
        for arm, several in arms.items():
            for number, victim in enumerate(several, 1):
                yield f"{arm} {number}" if number > 1 else arm, victim

    def _battery(self, victim: Victim) -> Battery:
        return battery(
            self._audit.attacks,
            victim,
            self._concept,
            original=self._lineup.original,
            judge=self._judges.first,
            references=self._references,
            controls=Controls(self._never),
            budget=self._audit.budget,
            trial=self._trial,
            seed=self._audit.seed,
            cache=self._folder,
        )

    def _attacked(self, attack: str, batteries: Mapping[str, Battery]) -> list[Seen]:
        """Return an attack's outcomes by judge and arm; an artefact's prompts are no sample and no clusters."""
        own = {"edited": EDITED, "original": ORIGINAL, "hidden": HIDDEN, "never": NEVER}
        outcomes = {name: [batteries["edited"].outcomes.get((attack, arm))] for name, arm in own.items()}
        for name in ("oracle", "unnamed"):
            outcomes[name] = [
                each.outcomes[attack, EDITED] for key, each in batteries.items() if key.split()[0] == name
            ]
        seen: list[Seen] = []
        for number, judge in enumerate(self._judges.all):
            arms = {}
            for name, several in outcomes.items():
                looks = [
                    Outcomes(tuple(each.outcomes if not number or name == "never" else judge(each.pictures)))
                    for each in several
                    if each is not None
                ]
                if looks:
                    arms[name] = pooled(looks)
            seen.append(arms)
        return seen

    def _deep(self) -> dict[str, Any]:
        """Return FADE in both directions, and Δ of each module, as JSON has them."""
        edited, (oracle, *others), original = self._lineup.edited, self._lineup.oracles, self._lineup.original
        prompts = [self._prompts[place % len(self._prompts)] for place in range(self._audit.deep)]
        seeds = range(SEEDS, SEEDS + self._audit.deep)
        how = [self._trial.drawing, prompts]

        def part(name: str, one: Victim, other: Victim, compute: Callable[[], Any]) -> Any:
            """Of two models, so that what is of no edit is computed once for all that are audited in a folder."""
            return Parts[Any](self._folder, ["deep", 3, one.facts(), other.facts(), *how], RECORDS).part(name, compute)

        def apart(one: Victim, other: Victim) -> Any:
            return part("fade", one, other, lambda: fade(one, other, prompts, seeds, self._trial)._asdict())

        def harmed(donor: Victim) -> Any:
            return part("harm", donor, original, lambda: harm(donor, original, prompts, seeds, self._trial))

        pairs = {
            "edited from the oracle": (edited, oracle),
            "oracle from the edited": (oracle, edited),
            "original from the oracle": (original, oracle),
            **{f"oracle {number} from the oracle": (each, oracle) for number, each in enumerate(others, 2)},
        }
        distances = {name: apart(*pair) for name, pair in pairs.items()}
        return {**distances, "modules": [each._asdict() for each in depths(harmed(edited), harmed(oracle))]}

    @cached_property
    def _leak(self) -> Leak | None:
        """What the edit gives away by itself; None where there is not one edit of weights."""
        edited, original = self._lineup.edited, self._lineup.original
        if edited.model is not original.model:
            try:
                return leak_of(difference_of(edited.model, original.model), original.model)
            except EditError:
                return None
        return leak_of(edited.edits[0], edited.model) if len(edited.edits) == 1 else None

    def _size(self) -> dict[str, Any]:
        """Return how large the edit is, by name."""
        if self._leak is None:
            return {"weights": 0, "bytes": 0, "sites": 0}
        weights = int(self._leak.table["weights"].sum())
        parameters = sum(each.numel() for each in self._lineup.original.model.denoiser.parameters())
        return {"weights": weights, "bytes": BYTES * weights, "sites": len(self._leak.table), "of_denoiser": parameters}

    def _protocol(self) -> dict[str, Any]:
        """Return what decides the numbers, as JSON has it."""
        audit, never = self._audit, self._never[0] if self._never else None
        calibration, second = self._calibrations[0], self._judges.second
        return {
            "concept": asdict(self._concept),
            "arms": {name: each.facts() for name, each in self._named_victims(self._lineup.arms())},
            "never": never.text if isinstance(never, Concept) else never,
            "attacks": [[each.name, {k: str(v) for k, v in plain_settings(each).items()}] for each in audit.attacks],
            "left_out": list(audit.left_out),
            "budget": asdict(audit.budget),
            "trial": self._trial.facts,
            "rules": asdict(audit.rules),
            "judge": self._judges.first.facts(),
            "judge_error": calibration and calibration.numbers(),
            "second": second and second.facts(),
            "prompts": list(self._prompts),
            "beside": {name: list(prompts) for name, prompts in self._beside.items()},
            "probes": self._probes,
            "others": audit.others,
            "seed": audit.seed,
        }

    def _advance(self) -> None:
        self._done += 1
        if self._progress:
            self._progress(self._done, self._stages)
