"""The plan of a bench: which edits to make, which batches to draw, and who judges them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from turpentine.core.errors import BadArgument
from turpentine.core.hashing import digest
from turpentine.runs.batches import Batch
from turpentine.runs.specs import Condition, DrawSpec, EditSpec, JudgeSpec, Pair


@dataclass(frozen=True, eq=False)
class Job:
    """A batch, and who judges it.

    Attributes:
        batch: The pictures.
        judges: Each looks at all of them.
    """

    batch: Batch
    judges: tuple[JudgeSpec, ...]

    @property
    def compares(self) -> bool:
        """Whether a judge compares the pictures with the unedited model's."""
        return any("reference" in judge.needs for judge in self.judges)


@dataclass(frozen=True)
class Counts:
    """How much there is to do, and how much of it is done once for several lines.

    Attributes:
        conditions: Lines of the table.
        pictures: In all lines together.
        distinct: Pictures that differ.
        erasures: Edits in all lines together.
        edits: Edits that differ.
        judged: Pictures, once for each judge.
    """

    conditions: int
    pictures: int
    distinct: int
    erasures: int
    edits: int
    judged: int

    @property
    def shared_pictures(self) -> int:
        """Pictures that need not be drawn, since another line has them."""
        return self.pictures - self.distinct

    @property
    def shared_edits(self) -> int:
        """Edits that need not be made, since another line has them."""
        return self.erasures - self.edits


class Plan:
    """The lines of a table, and the work that they take: each picture and each edit once, however many lines need it.

    Pictures of the unedited model come first, since others are compared with them.

    Args:
        conditions: The lines of the table.

    Raises:
        BadArgument: There is no line, or one twice.
    """

    def __init__(self, conditions: Iterable[Condition]) -> None:
        self.conditions = tuple(conditions)
        ids = [condition.id for condition in self.conditions]
        if not ids or len(set(ids)) < len(ids):
            raise BadArgument("A bench needs one line at least, and no line twice.")

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the lines, and of how their pictures are batched."""
        return digest([[condition.id, condition.protocol.at_once] for condition in self.conditions])

    @cached_property
    def edit_specs(self) -> tuple[EditSpec, ...]:
        """The edits to make, each once, and each after those that it is made on top of."""
        return tuple(dict.fromkeys(each for condition in self.conditions for each in condition.edit_specs))

    @cached_property
    def judges(self) -> tuple[JudgeSpec, ...]:
        """All judges, each once."""
        return tuple(dict.fromkeys(judge for condition in self.conditions for judge in condition.judges))

    @cached_property
    def jobs(self) -> tuple[Job, ...]:
        """The batches to draw and judge, each once, those of one draw spec together."""
        return tuple(
            job for draw_spec, judges_of in self._judges_of.items() for job in self._jobs(draw_spec, judges_of)
        )

    @cached_property
    def counts(self) -> Counts:
        """How much there is to do."""
        return Counts(
            conditions=len(self.conditions),
            pictures=sum(len(pairs) for condition in self.conditions for pairs in condition.pictures.values()),
            distinct=sum(map(len, self._judges_of.values())),
            erasures=sum(len(condition.edit_specs) for condition in self.conditions),
            edits=len(self.edit_specs),
            judged=sum(len(job.batch) * len(job.judges) for job in self.jobs),
        )

    def jobs_of(self, draw_spec: DrawSpec, condition: Condition) -> list[Job]:
        """Return the jobs of a draw spec in which a line has pictures."""
        places = self._places[draw_spec]
        return list(dict.fromkeys(places[pair] for pair in condition.pictures[draw_spec]))

    def references(self, job: Job) -> list[Batch]:
        """Return for each picture of a job the batch of the unedited model's picture of that prompt and seed."""
        places = self._places[job.batch.draw_spec.unedited]
        return [places[pair].batch for pair in job.batch.pairs]

    def score_key(self, job: Job, judge: JudgeSpec) -> str:
        """Return the key of a judge's scores of a job, which also depends on the pictures that it compares with."""
        if "reference" not in judge.needs:
            return job.batch.key
        return digest([job.batch.key, *(batch.key for batch in self.references(job))])

    @cached_property
    def _places(self) -> dict[DrawSpec, dict[Pair, Job]]:
        """The job of each picture of a draw spec."""
        jobs_by_pair: dict[DrawSpec, dict[Pair, Job]] = {}
        for job in self.jobs:
            jobs_by_pair.setdefault(job.batch.draw_spec, {}).update(dict.fromkeys(job.batch.pairs, job))
        return jobs_by_pair

    @cached_property
    def _judges_of(self) -> dict[DrawSpec, dict[Pair, tuple[JudgeSpec, ...]]]:
        """The pictures of each draw spec with their judges: those without an edit first."""
        judges_of: dict[DrawSpec, dict[Pair, tuple[JudgeSpec, ...]]] = {}
        for condition in self.conditions:
            compares = any("reference" in judge.needs for judge in condition.judges)
            for case, draw_spec, seeds in condition.case_draws():
                pairs = [(case.prompt, seed) for seed in seeds]
                _ask(judges_of.setdefault(draw_spec, {}), pairs, condition.judges)
                if compares:
                    _ask(judges_of.setdefault(draw_spec.unedited, {}), pairs, ())
        return dict(sorted(judges_of.items(), key=lambda each: each[0].edit_spec is not None))

    def _jobs(self, draw_spec: DrawSpec, judges_of: Mapping[Pair, tuple[JudgeSpec, ...]]) -> Iterator[Job]:
        for pairs in cut(judges_of, self._batch_size(draw_spec)):
            yield Job(
                Batch(draw_spec, pairs), tuple(dict.fromkeys(judge for pair in pairs for judge in judges_of[pair]))
            )

    def _batch_size(self, draw_spec: DrawSpec) -> int:
        return min(condition.protocol.at_once for condition in self.conditions if condition.source == draw_spec.source)


def cut(pairs: Iterable[Pair], size: int) -> Iterator[tuple[Pair, ...]]:
    """Yield batches of at most `size` pictures, by what a line draws and not by what is left of it.

    A prompt with seeds for half a batch or more has batches of its own, so that lines of a table that share the prompt
    share them; the others are put together, prompt by prompt.

    Example:
        >>> list(cut([("a", 0), ("a", 1), ("b", 0), ("c", 0)], 2))
        [(('a', 0), ('a', 1)), (('b', 0),), (('c', 0),)]

    Args:
        pairs: Prompts and seeds.
        size: Pictures of a batch.
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
