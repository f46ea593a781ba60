"""What must hold between the values of a bench's file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from turpentine.bench.faults import sentences
from turpentine.bench.method_entries import begins, of_another_kind
from turpentine.bench.metrics import check_references
from turpentine.bench.schema import CHEAP, BenchSpec, suited
from turpentine.bench.yaml_lines import Document
from turpentine.core.errors import BadArgument, SeveralFaults
from turpentine.runs.references import reference_files


def beside(name: str, folder: Path | None) -> Path:
    """Return the path of a folder that a file names: as it is written, or beside the file.

    Args:
        name: As it is written.
        folder: Of the file; None for one that ships.
    """
    path = Path(name)
    return path if path.exists() or folder is None else folder / name


def _check_references(spec: BenchSpec, document: Document, folder: Path | None) -> None:
    """Check that the real pictures are there, and that something is measured against them."""
    index = next((index for index, measure in enumerate(spec.measures) if measure.to), None)
    place = ("references",) if index is None else ("measures", index)
    try:
        check_references(spec.measures, given=spec.references is not None)
        if spec.references is not None:
            place = ("references",)
            reference_files(beside(spec.references, folder))
    except BadArgument as error:
        raise BadArgument(f"{document.place(place)}: {error}") from error


def checked_spec(document: Document, folder: Path | None, context: Mapping[str, Any] | None = None) -> BenchSpec:
    """Return the content of a bench's file, checked.

    Args:
        document: The file.
        folder: Where the file is; None for one that ships.
        context: CHEAP to check only what needs no torch.

    Raises:
        SeveralFaults: Values cannot be; file and line of each are named.
        BadArgument: Values do not go together; file and line are named.
    """
    if not isinstance(document.value, dict):
        raise BadArgument(f"{document.name} holds no keys with values: it is no bench's file.")
    try:
        spec = BenchSpec.model_validate(document.value, context=context)
    except ValidationError as error:
        raise SeveralFaults(sentences(error, document, BenchSpec)) from error
    if spec.concepts and spec.concepts_from:
        raise BadArgument(f"{document.place(('concepts_from',))}: leave out either concepts or concepts_from.")
    if spec.keep_others and not spec.concepts_from:
        raise BadArgument(f"{document.place(('keep_others',))}: give concepts_from too, or each concept its own keep.")
    _check_references(spec, document, folder)
    several = any(len(concepts) > 1 for concepts in spec.concepts)
    for index, entry in enumerate(spec.methods):
        if entry.plugin.kind != spec.goal and not any(begins(entry, other) for other in spec.methods):
            raise BadArgument(f"{document.place(('methods', index))}: {of_another_kind(entry.plugin, spec.goal)}")
        if any(part.each for part in entry.parts) and not several:
            raise BadArgument(
                f"{document.place(('methods', index))}: each makes an edit for each concept of a line, and no line has "
                "several: write concepts: [[church, dog]], or leave each out."
            )
    if context == CHEAP:
        return spec
    models = [entry.source for entry in spec.models]
    return spec.model_copy(update={"judges": tuple(suited(entry, models) for entry in spec.judges)})
