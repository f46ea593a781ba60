"""One harness for all attacks: what each needs, what it may spend, what is drawn of its artefact, and what goes on.

An attack is a subclass of `Attack` in a file of its own: a frozen dataclass whose fields are its settings, whose
`needs` say what it cannot do without, and whose `search` yields stages, each with the best artefact so far. Counting,
budget, resuming, new pictures, the curve and progress are the harness's.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, is_dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from turpentine.attack._pictures import judged_once, new_pictures, rate_over_prompts
from turpentine.attack.budget import Budget, BudgetSpent, ConceptJudge, Meter, Spent
from turpentine.attack.search import Need, Search
from turpentine.attack.trial import Trial
from turpentine.concepts import Concept
from turpentine.core.errors import BadArgument
from turpentine.core.hashing import digest, digest_file, digest_images
from turpentine.core.parts import RECORDS, Parts
from turpentine.core.progress import Progress
from turpentine.core.safe_text import one_line
from turpentine.core.settings import Settings

if TYPE_CHECKING:
    from PIL import Image

    from turpentine.attack._stages import SearchStage, StageStore
    from turpentine.attack.attacked import Attacked
    from turpentine.attack.victim import Victim
    from turpentine.edits import Edit
    from turpentine.judges.base import Judge
    from turpentine.models import Artefact

REVISION = 2
"""Goes up when an attack comes to other numbers from the same settings."""
PARTS = 1000
"""Progress of an attack is counted in so many parts."""


@dataclass(frozen=True)
class Attack(Settings, ABC):
    """An attack: a way back to a concept that was erased.

    Attributes:
        name: By which the command line and the entry point know it.
        needs: What it cannot do without.
        free: Does it cost so little that a battery has it by default?
        decides: Was it measured to tell what hides a concept from what removes it? An audit that has little time takes
            such a one first.
    """

    name: ClassVar[str]
    needs: ClassVar[frozenset[Need]] = frozenset()
    free: ClassVar[bool] = False
    decides: ClassVar[bool] = False

    @abstractmethod
    def search(self, search: Search, state: dict[str, Any] | None) -> Iterator[SearchStage]:
        """Yield stages, each with the best artefact so far, and the tensors from which the search goes on.

        Args:
            search: What there is to work with.
            state: Of the last stage of a run that was broken off; None at the beginning. What a search does from a
                state on must hang on the state and the settings alone.
        """

    def cost(self, trial: Trial) -> Spent:
        """Return about what the search spends where the budget has no limit."""
        return Spent()

    def least(self, victim: Victim, original: Victim | None, trial: Trial) -> Spent:
        """Return the least that a search spends before it has anything to show, as far as that is known beforehand.

        A smaller budget is refused before anything is drawn.

        Args:
            victim: What is attacked.
            original: The same without the erasure, None where it is not given.
            trial: How pictures are drawn.

        Raises:
            BadArgument: No budget would do with such a trial.
        """
        return Spent()

    def check(
        self,
        victim: Victim,
        original: Victim | None,
        references: Sequence[Image.Image] | None,
        budget: Budget,
        trial: Trial,
    ) -> None:
        """Refuse before anything is drawn what cannot be attacked so.

        Args:
            victim: What is attacked.
            original: The same without the erasure, None where it is not given.
            references: Pictures of the concept; None where the original is to draw them.
            budget: The most that the search may spend.
            trial: How pictures are drawn.

        Raises:
            BadArgument: Something that the attack needs is missing, or the budget does not reach for a single try.
        """
        self._check_needs(victim, original, references)
        least = self.least(victim, original, trial)
        if budget.capped(least) != least:
            raise self._too_small(budget, f", which takes {least} at least")

    def concluded(self, search: Search, outcome: Attacked) -> Mapping[str, Any]:
        """Return what the attack has to say of its outcome beside its measurements, such as from the curve."""
        return {}

    def __call__(
        self,
        edited: Any,
        concept: Concept | str,
        *,
        original: Any = None,
        references: Sequence[Image.Image] = (),
        judge: Judge | ConceptJudge | None = None,
        budget: Budget | None = None,
        trial: Trial | None = None,
        seed: int = 0,
        cache: Path | None = None,
        progress: Progress | None = None,
    ) -> Attacked:
        """Attack a model, draw new pictures of what came out, and judge them.

        Args:
            edited: What is attacked: a `Victim`, or a model as it is, with the edits that are on it.
            concept: What is to come back.
            original: The same without the erasure; for attacks that need it.
            references: Pictures of the concept; for attacks that need them. They are fitted to the model's size.
            judge: Who says whether the concept is in a picture.
            budget: The most that the search may spend; no limit by default.
            trial: How pictures are drawn, and how many; by default by `Trial.of` the model.
            seed: Of all chance.
            cache: The folder for finished parts, from which an interrupted run goes on; one that is over draws nothing.
            progress: Called with parts of the work done and in all.

        Raises:
            BadArgument: Something that the attack needs is missing, the judge does not know the concept, or the budget
                does not reach for a single try.
            AbsentConcept: The original does not draw the concept.
            EmptyConcept: The model has no token for the concept.
        """
        from turpentine.attack._plain import check_original, plain_rate
        from turpentine.attack._stages import StageStore
        from turpentine.attack.victim import as_victim
        from turpentine.core.imaging import fitted
        from turpentine.judges.worlds import check_judge_of

        concept = Concept(concept) if isinstance(concept, str) else concept
        victim, other = as_victim(edited), as_victim(original) if original is not None else None
        shows, budget = self._judge(judge, concept), budget or Budget()
        trial = trial or Trial.of(victim.model)
        self.check(victim, other, references, budget, trial)
        victim.model.text.check_words(concept.text)
        check_judge_of(victim.model, shows.judge)
        trial = trial.fitting(victim.model, cache)
        if other is not None and trial.original_rate:
            check_original(plain_rate(other, concept, shows, trial, cache), other, concept, trial)
        references, advance = fitted(references, victim.model.size), partial(_part, progress)
        search = Search(victim, concept, other, references, shows, trial, Meter(budget), seed, advance)
        about = _about(self, search)
        store = StageStore(cache, about)
        stages = store.stages()
        if stages:
            search = replace(search, meter=Meter(budget, stages[-1].spent, stages[-1].tries))
        if not store.is_finished():
            stages += self._searched(search, store, stages)
        if not stages:
            raise self._too_small(budget)
        return self._measured(search, stages, cache, about)

    def _too_small(self, budget: Budget, why: str = "") -> BadArgument:
        return BadArgument(f"The budget ({_words(budget)}) does not reach for one try of {self.name}{why}: raise it.")

    def _check_needs(self, victim: Victim, original: Victim | None, references: Sequence[Image.Image] | None) -> None:
        missing = {
            "text encoder": not victim.model.family.reads_prompts
            and "the model's text encoder: load the pipeline with it",
            "original": original is None and "the model without the erasure: give it as original",
            "references": references is not None
            and not references
            and "pictures of the concept: give them as references",
        }
        for need in sorted(self.needs):
            if missing.get(need):
                raise BadArgument(f"{self.name} needs {missing[need]}.")
        if self.needs & {"text encoder", "weights"}:
            victim.model.family.check(hooks=False)  # such as weights that were quantised since

    def _judge(self, judge: Judge | ConceptJudge | None, concept: Concept) -> ConceptJudge:
        """Return who says whether the concept is in a picture."""
        if judge is None:
            raise BadArgument(f"{self.name} needs a judge of its pictures: give one.")
        return concept_judge(judge, concept)

    def _searched(self, search: Search, store: StageStore, before: Sequence[SearchStage]) -> list[SearchStage]:
        """Return the new stages, stored as they come."""
        reached: list[SearchStage] = []
        models = [each.model for each in (search.victim, search.original) if each is not None]
        state = dict(before[-1].state) if before else None
        with search.meter.counting(*models):
            try:
                for plain in self.search(search, state):
                    stage = plain.with_spent(search.meter.spent, search.meter.outcomes)
                    store.put(len(before) + len(reached), stage)
                    reached.append(stage)
            except BudgetSpent:  # what it has by then counts
                pass
        store.finish(len(before) + len(reached))
        return reached

    def _measured(
        self, search: Search, stages: Sequence[SearchStage], cache: Path | None, about: Sequence[Any]
    ) -> Attacked:
        """Draw and judge new pictures of the last stage, and a few of each before."""
        from turpentine.attack.attacked import Attacked, curve
        from turpentine.models import Artefact

        rows, parts = [], Parts(cache, [*about, "new pictures"], RECORDS)
        count = min(search.trial.curve_pictures, search.trial.pictures)
        for number, stage in enumerate(stages[:-1]):
            outcomes = parts.part(number, partial(_outcomes, search, stage, count))
            rows.append((stage.spent, rate_over_prompts(outcomes, _prompts_of(stage.artefact, search))))
        last = stages[-1]
        prompts = _prompts_of(last.artefact, search)
        draw = partial(new_pictures, search.victim, last.artefact, search.prompts, search.trial)
        pictures, outcomes = judged_once(cache, [*about, "last pictures", len(stages)], draw, search.shows)
        _part(search.advance, PARTS, PARTS)
        round_trips = not isinstance(last.artefact, Artefact) or last.artefact.round_trips(search.victim.model)
        outcome = Attacked(
            curve([*rows, (last.spent, rate_over_prompts(outcomes, prompts))]),
            f"{self.name} on {search.victim.model.name}",
            last.artefact,
            tuple(pictures),
            tuple(outcomes),
            tuple(last.tries),
            last.spent,
            round_trips,
            dict(last.measurements),
            prompts,
        )
        return replace(outcome, measurements={**outcome.measurements, **self.concluded(search, outcome)})


def concept_judge(judge: Judge | ConceptJudge, concept: Concept) -> ConceptJudge:
    """Return a judge that says of pictures whether a concept is in them.

    Raises:
        BadArgument: The judge has no label for the concept.
    """
    from turpentine.judges.base import column_of, sought

    if isinstance(judge, ConceptJudge):
        return judge
    place = sought(judge, concept.text)
    if place is None or column_of(judge, place.column).is_number:
        raise BadArgument(f"The judge {judge.name} has no label for {concept.text!r}: give one that has, such as clip.")
    return ConceptJudge(judge, place.column, place.label)


def _prompts_of(artefact: Artefact | Edit, search: Search) -> tuple[str, ...]:
    """Return the prompts of new pictures: the artefact's own, or for an edit those that name the concept."""
    from turpentine.models import Artefact

    return artefact.prompts if isinstance(artefact, Artefact) else search.prompts


def _outcomes(search: Search, stage: SearchStage, count: int) -> list[bool]:
    return search.shows(new_pictures(search.victim, stage.artefact, search.prompts, search.trial, count))


def _part(progress: Progress | None, done: int, total: int) -> None:
    if progress:
        progress(PARTS * done // max(1, total), PARTS)


def _about(attack: Attack, search: Search) -> list[Any]:
    """Return all that decides an attack's numbers, as JSON has it."""
    needs, original, references = attack.needs, search.original, search.references
    return [
        REVISION,
        [type(attack).__name__, plain_settings(attack)],
        search.victim.facts(),
        original.facts() if original is not None and "original" in needs else None,
        asdict(search.concept),
        digest_images(references) if references and "references" in needs else None,
        search.shows.facts(),
        asdict(search.meter.budget),
        search.trial.facts,
        search.seed,
    ]


def plain_settings(attack: Attack) -> dict[str, Any]:
    """Return an attack's settings, and the content of the files that they name."""
    assert is_dataclass(attack)
    values = {each.name: getattr(attack, each.name) for each in fields(attack)}
    return {name: _content(each) if isinstance(each, Path) else each for name, each in values.items()}


def _content(path: Path) -> str:
    """Return a digest of a file, or of all files in a folder with their names."""
    if not path.exists():
        raise BadArgument(f"There is no file or folder {one_line(str(path))}.")
    if path.is_dir():
        return digest([[each.name, digest_file(each)] for each in sorted(path.iterdir()) if each.is_file()])
    return digest_file(path)


def _words(budget: Budget) -> str:
    return ", ".join(f"{name} {value}" for name, value in asdict(budget).items() if value is not None) or "no limit"
