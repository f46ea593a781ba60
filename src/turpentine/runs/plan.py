"""All that a bench has to do: which edits to make, which batches to draw, and who judges them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from turpentine.core.errors import BadArgument
from turpentine.core.hashing import digest
from turpentine.runs.specs import Batch, Cell, JudgeSpec, Pair, Recipe, State


@dataclass(frozen=True, eq=False)
class Job:
    """A batch, and who judges it."""

    batch: Batch
    judges: tuple[JudgeSpec, ...]

    @property
    def compares(self) -> bool:
        """Does a judge compare the pictures with the unedited model's?"""
        return any("reference" in judge.needs for judge in self.judges)


@dataclass(frozen=True)
class Counts:
    """How much there is to do, and how much of it is done once for several lines.

    cells: lines of the table. pictures: in all lines together, and drawn: that differ. erasures: lines with an edit,
    and edits: that differ. judged: pictures, once for each judge.
    """

    cells: int
    pictures: int
    drawn: int
    erasures: int
    edits: int
    judged: int

    @property
    def shared_pictures(self) -> int:
        """Pictures that need not be drawn, for another line has them."""
        return self.pictures - self.drawn

    @property
    def shared_edits(self) -> int:
        """Edits that need not be made, for another line has them."""
        return self.erasures - self.edits


class Plan:
    """The lines of a table, and the work that they take: each picture and each edit once, whoever needs it.

    What is compared with comes first: pictures of the unedited model. Raises BadArgument for no line, or one twice.
    """

    def __init__(self, cells: Iterable[Cell]) -> None:
        self.cells = tuple(cells)
        ids = [cell.id for cell in self.cells]
        if not ids or len(set(ids)) < len(ids):
            raise BadArgument("A bench needs one line at least, and no line twice.")

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the lines, and of how their pictures are batched."""
        return digest([[cell.id, cell.protocol.batch_size] for cell in self.cells])

    @cached_property
    def recipes(self) -> tuple[Recipe, ...]:
        """The edits to make, each once."""
        return tuple(dict.fromkeys(cell.recipe for cell in self.cells if cell.recipe))

    @cached_property
    def judges(self) -> tuple[JudgeSpec, ...]:
        """All judges, each once."""
        return tuple(dict.fromkeys(judge for cell in self.cells for judge in cell.judges))

    @cached_property
    def jobs(self) -> tuple[Job, ...]:
        """The batches to draw and judge, each once, those of one state together."""
        return tuple(job for state, judges_of in self._judges_of.items() for job in self._jobs(state, judges_of))

    @cached_property
    def counts(self) -> Counts:
        """How much there is to do."""
        return Counts(
            cells=len(self.cells),
            pictures=sum(len(pairs) for cell in self.cells for pairs in cell.pictures.values()),
            drawn=sum(map(len, self._judges_of.values())),
            erasures=sum(cell.recipe is not None for cell in self.cells),
            edits=len(self.recipes),
            judged=sum(len(job.batch) * len(job.judges) for job in self.jobs),
        )

    def jobs_of(self, state: State, cell: Cell) -> list[Job]:
        """The jobs of a state that a line has pictures in."""
        places = self._places[state]
        return list(dict.fromkeys(places[pair] for pair in cell.pictures[state]))

    def references(self, job: Job) -> list[Batch]:
        """Where the unedited model's pictures of a job's prompts and seeds are, a batch for each picture."""
        places = self._places[job.batch.state.unedited]
        return [places[pair].batch for pair in job.batch.pairs]

    def score_key(self, job: Job, judge: JudgeSpec) -> str:
        """Under which key a judge's scores of a job are kept: they are also of the pictures that it compares with."""
        if "reference" not in judge.needs:
            return job.batch.key
        return digest([job.batch.key, *(batch.key for batch in self.references(job))])

    @cached_property
    def _places(self) -> dict[State, dict[Pair, Job]]:
        """Which job of a state each of its pictures is in."""
        jobs_by_pair: dict[State, dict[Pair, Job]] = {}
        for job in self.jobs:
            jobs_by_pair.setdefault(job.batch.state, {}).update(dict.fromkeys(job.batch.pairs, job))
        return jobs_by_pair

    @cached_property
    def _judges_of(self) -> dict[State, dict[Pair, tuple[JudgeSpec, ...]]]:
        """The pictures of each state with their judges: states without an edit first."""
        judges_of: dict[State, dict[Pair, tuple[JudgeSpec, ...]]] = {}
        for cell in self.cells:
            compares = any("reference" in judge.needs for judge in cell.judges)
            for case, state, seeds in cell.asked():
                pairs = [(case.prompt, seed) for seed in seeds]
                _ask(judges_of.setdefault(state, {}), pairs, cell.judges)
                if compares:
                    _ask(judges_of.setdefault(state.unedited, {}), pairs, ())
        return dict(sorted(judges_of.items(), key=lambda each: each[0].recipe is not None))

    def _jobs(self, state: State, judges_of: Mapping[Pair, tuple[JudgeSpec, ...]]) -> Iterator[Job]:
        for pairs in cut(judges_of, self._batch_size(state)):
            yield Job(Batch(state, pairs), tuple(dict.fromkeys(judge for pair in pairs for judge in judges_of[pair])))

    def _batch_size(self, state: State) -> int:
        return min(cell.protocol.batch_size for cell in self.cells if cell.source == state.source)


def cut(pairs: Iterable[Pair], size: int) -> Iterator[tuple[Pair, ...]]:
    """Batches of at most `size` pictures, by what is asked for and not by what is left of it.

    A prompt with seeds for half a batch or more has batches of its own, so that lines of a table that share the prompt
    share them; the others are put together, prompt by prompt.
    """
    together: list[Pair] = []
    by_prompt: dict[str, list[Pair]] = {}
    for pair in pairs:
        by_prompt.setdefault(pair[0], []).append(pair)
    for own in by_prompt.values():
        if 2 * len(own) >= size:
            yield from _chunks(own, size)
        else:
            together += own
    yield from _chunks(together, size)


def _chunks(pairs: Sequence[Pair], size: int) -> Iterator[tuple[Pair, ...]]:
    for start in range(0, len(pairs), size):
        yield tuple(pairs[start : start + size])


def _ask(judges_of: dict[Pair, tuple[JudgeSpec, ...]], pairs: Iterable[Pair], judges: tuple[JudgeSpec, ...]) -> None:
    for pair in pairs:
        before = judges_of.get(pair, ())
        judges_of[pair] = judges if before in ((), judges) else tuple(dict.fromkeys((*before, *judges)))
