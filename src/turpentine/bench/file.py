"""Reads a bench's file, checks it, and turns it into the lines of a table."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from turpentine.bench.metrics import Measure, check_column
from turpentine.bench.schema import CHEAP, BenchSpec, ModelEntry
from turpentine.bench.spec_checks import beside, checked_spec
from turpentine.bench.yaml_lines import Document, read_yaml, with_overrides
from turpentine.concepts import Concept
from turpentine.core.errors import BadArgument, TurpentineError, UnknownName
from turpentine.core.suggest import offer
from turpentine.judges.base import Column
from turpentine.runs.protocol import Protocol
from turpentine.runs.references import ReferenceSet, judge_references, reference_rows
from turpentine.tasks.case_rules import (
    FileCases,
    PromptCases,
    WorldCases,
    cases_of,
    labels_in,
    names_of,
    values_in,
)
from turpentine.tasks.cases import Case

# A file with a fault is refused before torch is imported, which these bring.
if TYPE_CHECKING:
    import polars as pl

    from turpentine.bench.table import Table
    from turpentine.core.progress import Progress
    from turpentine.judges import Judge
    from turpentine.models import Model
    from turpentine.runs.plan import Plan
    from turpentine.runs.results import Results
    from turpentine.runs.specs import Condition, JudgeSpec, ModelSpec
    from turpentine.runs.store import Store

_SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True, eq=False)
class Bench:
    """A bench's file, checked.

    Attributes:
        name: The file's, without its ending.
        spec: Its content.
        folder: Where files of prompts may be; None for a bench that ships.
        document: The values with the lines of the file where they stand.
    """

    name: str
    spec: BenchSpec
    folder: Path | None
    document: Document

    def plan(
        self,
        source_of: Callable[[ModelEntry], ModelSpec],
        protocol_of: Callable[[ModelSpec], Protocol],
    ) -> Plan:
        """Return the plan of the bench.

        Each model's unedited lines come first, one for each concept, since edited ones are compared with them.

        Args:
            source_of: Loads a model as the file writes it, and returns its spec.
            protocol_of: Returns how a model's pictures are drawn; see `protocol_on`.

        Raises:
            BadArgument: The lines cannot be drawn or judged.
        """
        from turpentine.runs.plan import Plan

        sources = [source_of(model) for model in self.spec.models]
        protocols = [protocol_of(source) for source in sources]
        pairs = zip(sources, protocols, strict=True)
        return Plan(condition for source, protocol in pairs for condition in self._conditions(source, protocol))

    def table(self, plan: Plan, results: Results, store: Store) -> Table:
        """Return the table of a finished run.

        Args:
            plan: From `plan`.
            results: Of the run.
            store: Of the run.

        Raises:
            BadArgument: Lines are of different protocols.
            LedgerError: A file is damaged.
        """
        from turpentine.bench.table import tabulate
        from turpentine.runs.ledger import until_whole

        spec = self.spec
        how: dict[str, Any] = {"title": spec.title, "measures": self.measures, "goal": spec.goal}
        rows = until_whole(lambda: self.look_at_references(store), lambda: self._reference_rows(store))
        return tabulate(plan, results.frame, store.edits.record, **how, references=rows)

    def look_at_references(self, store: Store, progress: Progress | None = None) -> None:
        """Have the judges look at the real pictures, where there are some that they have not seen yet.

        Args:
            store: Of the run.
            progress: Called with pictures done and in all.

        Raises:
            BadArgument: A picture cannot be read or judged, or the folder holds other ones by now.
        """
        if self.references:
            judge_references(self.references, self._comparing, store, progress)

    @cached_property
    def references(self) -> ReferenceSet | None:
        """The real pictures; None where the file names none.

        Raises:
            BadArgument: One cannot be read; the line is named.
        """
        folder = self.spec.references
        return None if folder is None else self._placed(("references",), ReferenceSet.of, beside(folder, self.folder))

    @property
    def _comparing(self) -> dict[JudgeSpec, Judge]:
        """The judges of the measures against real pictures."""
        columns = {measure.column for measure in self.measures if measure.to}
        return {spec: judge for spec, judge in self.judges.items() if columns.intersection(spec.columns)}

    def _reference_rows(self, store: Store) -> pl.DataFrame | None:
        return reference_rows(self.references, self._comparing, store) if self.references else None

    def protocol_on(self, model: Model) -> Protocol:
        """Return how a model's pictures are drawn: by its family's steps and guidance where the file has none."""
        return Protocol.of(model, seeds=self.spec.seeds, **dict(self.spec.drawing))

    @property
    def judges(self) -> dict[JudgeSpec, Judge]:
        """The judges, always with the one of the pixels alone."""
        from turpentine.judges import PictureStatistics
        from turpentine.runs.specs import JudgeSpec

        entries = [(entry.judge, entry.name, entry.settings) for entry in self.spec.judges]
        if not any(isinstance(judge, PictureStatistics) for judge, *_ in entries):
            entries.append((PictureStatistics(), PictureStatistics.name, {}))
        return {JudgeSpec.of(judge, name, settings): judge for judge, name, settings in entries}

    @property
    def measures(self) -> list[Measure]:
        """The numbers of the table.

        Raises:
            BadArgument: A measure cannot be of its column; the line is named.
            UnknownName: No judge has its column; the line is named.
        """
        measures = enumerate(self.spec.measures)
        return [self._placed(("measures", index), measure.checked, self._columns) for index, measure in measures]

    @property
    def concepts(self) -> list[tuple[Concept, ...]]:
        """The concepts, erased one after the other; one empty tuple where the file names none."""
        if self.spec.concepts_from is None:
            return list(self.spec.concepts) or [()]
        named = self._placed(("concepts_from",), values_in, self.spec.cases, self.spec.concepts_from, self.folder)
        others = set(named) if self.spec.keep_others else set[str]()
        return [(Concept(text, self.spec.kind, keep=tuple(sorted(others - {text}))),) for text in named]

    @cached_property
    def cases_by_concepts(self) -> dict[tuple[Concept, ...], tuple[Case, ...]]:
        """The cases for each of the concepts.

        Raises:
            BadArgument: A rule of cases cannot be followed; the line is named.
            UnknownName: A name in it is not known; the line is named.
        """
        return {concepts: self._cases(concepts) for concepts in self.concepts}

    def _conditions(self, source: ModelSpec, protocol: Protocol) -> Iterator[Condition]:
        from turpentine.runs.specs import Condition, EditSpec

        judges = tuple(self.judges)
        names: dict[tuple[EditSpec, tuple[Concept, ...]], str] = {}
        for concepts, cases in self.cases_by_concepts.items():
            yield Condition(source, cases, protocol, judges, concepts=concepts, references=self.references)
        for index, entry in enumerate(self.spec.methods):
            for concepts, cases in self.cases_by_concepts.items():
                edit_spec = EditSpec.stacked(source, entry.edits(source.load, concepts), entry.name)
                if (edit_spec, concepts) in names:
                    place, same = self.document.place(("methods", index)), names[edit_spec, concepts]
                    raise BadArgument(
                        f"{place}: {entry.name} is the same as {same} on {source.load}: leave one of them out."
                    )
                names[edit_spec, concepts] = entry.name
                yield Condition(source, cases, protocol, judges, edit_spec, concepts, references=self.references)

    def _cases(self, concepts: Sequence[Concept]) -> tuple[Case, ...]:
        cases: dict[Case, None] = {}
        for index, rule in enumerate(self.spec.cases):
            if not isinstance(rule, WorldCases) and rule.column:
                self._placed(("cases", index, "column"), check_column, rule.column, self._columns)
            if isinstance(rule, WorldCases) and "pair" in rule.world:
                self._placed(("cases", index, "world"), check_column, "object_also", self._columns)
            if isinstance(rule, FileCases):
                self._placed(("cases", index, "concept"), self._check_named, rule)
            cases |= self._placed(("cases", index), cases_of, rule, concepts, self._names, self.folder)
            if not isinstance(rule, WorldCases) and rule.column:
                self._check_labels(index, rule, rule.column)
        if not cases:
            raise BadArgument(f"{self.document.place(('cases',))}: No prompt is left to draw: ask for other groups.")
        return tuple(cases)

    @cached_property
    def _names(self) -> tuple[str, ...]:
        """The texts of all concepts, each once."""
        return tuple(dict.fromkeys(one.text for each in self.concepts for one in each))

    def _check_named(self, rule: FileCases) -> None:
        """Check that a file of prompts that says what its rows are of has some of the bench's concepts.

        Raises:
            BadArgument: It has none, and all would count as others.
        """
        labels = [name for _, name in labels_in(rule, self.folder, self._names)]
        if labels and self._names and not set(labels) & set(self._names):
            first = self._names[0]
            raise BadArgument(f"No row of {rule.file} is of {first!r} in {rule.concept}: {offer(first, labels)}")

    def _check_labels(self, index: int, rule: PromptCases | FileCases, column: str) -> None:
        """Check that the judge can give every expected label: one that it cannot would count as erased.

        Raises:
            UnknownName: It cannot give one; file and line are named.
        """
        labels = self._columns[column].labels
        if labels is None:
            return
        for place, name in self._expected_labels(index, rule):
            if name not in labels:
                raise UnknownName(f"{place}: The judge never says {name!r} in {column}: {offer(name, labels)}")

    def _expected_labels(self, index: int, rule: PromptCases | FileCases) -> Iterator[tuple[str, str]]:
        """Yield the labels that pictures should get, each with its place in the file."""
        place = self.document.place
        if isinstance(rule, FileCases):
            line = place(("cases", index, "expected"))
            yield from [(line, rule.expected)] if rule.expected else labels_in(rule, self.folder, self._names)
        elif rule.of:
            yield from (
                (place(("cases", index, "of", number)), name) for number, name in enumerate(names_of(rule, self._names))
            )
        else:
            for number, concepts in enumerate(self.concepts):
                yield from ((place(("concepts", number)), one.text) for one in concepts)

    @property
    def _columns(self) -> dict[str, Column]:
        """The columns of all judges."""
        from turpentine.judges import PictureStatistics

        judges = [*(entry.judge for entry in self.spec.judges), PictureStatistics()]
        return {name: column for judge in judges for name, column in judge.columns.items()}

    def _placed(self, path: Sequence[str | int], call: Callable[..., Any], *args: Any) -> Any:
        """Return what a call returns; its error names the place in the file."""
        try:
            return call(*args)
        except TurpentineError as error:
            raise type(error)(f"{self.document.place(path)}: {error}") from error


def load(name: str, overrides: Sequence[str] = (), check: Callable[[Bench], None] | None = None) -> Bench:
    """Read a bench's file.

    Example:
        >>> load("emoji-objects", ["drawing.steps=30"]).spec.drawing.steps
        30

    Args:
        name: A path, or the name of a bench that ships.
        overrides: `key=value`, in the place of what the file says; keys are dotted, such as `drawing.steps=30`, and
            values are as in the file.
        check: Called with the bench before its judges are made, which brings torch; it may refuse the bench.

    Raises:
        BadArgument: The file cannot be read, or a value cannot be; file and line are named.
        UnknownName: A name is not known; file and line are named.
    """
    opened = open_bench(name)
    with_overrides(opened.document, overrides)
    return bench_of(opened, check)


@dataclass(frozen=True, eq=False)
class BenchFile:
    """The file of a bench of any kind, read once.

    Attributes:
        name: The file's, without its ending.
        folder: Where it is; None for one that ships.
        document: The values with the lines of the file where they stand.
    """

    name: str
    folder: Path | None
    document: Document

    def has(self, key: str) -> bool:
        """Return whether a key stands in it, by which its kind is seen."""
        return isinstance(self.document.value, dict) and key in self.document.value


def open_bench(name: str) -> BenchFile:
    """Read the file of a bench of any kind, a leaderboard's too, before anything in it is checked.

    Args:
        name: A path, or the name of one that ships.

    Raises:
        BadArgument: It cannot be read.
        UnknownName: There is neither a file nor a bench of that name.

    Example:
        >>> open_bench("emoji-attacks").has("attacks")
        True
    """
    path = Path(name)
    if path.suffix in _SUFFIXES or path.is_file():
        return BenchFile(path.stem, path.parent, read_yaml(text_of(path), name))
    texts = every_protocol()
    if name not in texts:
        raise UnknownName(f"No bench is called {name!r}, and no file: {offer(name, texts)}")
    return BenchFile(name, None, read_yaml(texts[name], f"{name}.yaml"))


def bench_of(opened: BenchFile, check: Callable[[Bench], None] | None = None) -> Bench:
    """Return the bench of a file, checked.

    Args:
        opened: The file.
        check: Called with the bench before its judges are made, which brings torch; it may refuse the bench.

    Raises:
        BadArgument: A value cannot be; file and line are named.
        UnknownName: A name is not known; file and line are named.
    """
    name, folder, document = opened.name, opened.folder, opened.document
    if check is not None:
        check(Bench(name, checked_spec(document, folder, CHEAP), folder, document))
    return Bench(name, checked_spec(document, folder), folder, document)


def shipped() -> dict[str, str]:
    """Return the texts of the benches that come with the package, by name."""
    return protocols()


def protocols(kind: str = "") -> dict[str, str]:
    """Return the texts of the files of one kind that come with the package, by name.

    Args:
        kind: "" for benches, "attacks" for benches of attacks, "leaderboards".
    """
    folder = files("turpentine.bench") / "protocols" / kind
    paths = {file.name.removesuffix(".yaml"): file for file in folder.iterdir() if file.name.endswith(".yaml")}
    return {name: paths[name].read_text(encoding="utf-8") for name in sorted(paths)}


def every_protocol() -> dict[str, str]:
    """Return the texts of the files of all kinds that come with the package, by name."""
    return {name: text for kind in ("", "attacks", "leaderboards") for name, text in protocols(kind).items()}


def text_of(path: Path) -> str:
    """Return the text of a bench's file.

    Raises:
        BadArgument: It cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text in UTF-8"
        raise BadArgument(f"{path} cannot be read: {why}.") from error
