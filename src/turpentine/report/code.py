"""Python that makes a result again, and that uses its edit; comments for what cannot be written in code."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, fields
from typing import Any, Literal, get_args, get_origin, get_type_hints

from turpentine.bench import ErasureResult
from turpentine.bench.erasure_judges import ALWAYS
from turpentine.concepts import Concept
from turpentine.core.plugins import find_class
from turpentine.core.safe_text import one_line
from turpentine.edits import Edit

_PROTOCOL = ("steps", "guidance_scale", "solver", "seeds", "size", "negative_prompt")


def again(result: ErasureResult) -> str:
    """Return Python that makes the result again.

    A pipeline that was made elsewhere, edits that were on the model already, and settings that are objects have no code
    of their own: a comment says what each was.
    """
    method, protocol = result.run.identity["method"], result.run.identity["protocol"]
    concepts = [_concept(concept) for concept in result.concepts]
    what = concepts[0] if len(concepts) == 1 else f"[{', '.join(concepts)}]"
    drawing = {name: protocol[name] for name in _PROTOCOL if name in protocol}
    model, judges = list(_model(result)), _judges(result)
    return "\n".join(
        [
            *_imports(model),
            "from turpentine.bench import Erasure, Protocol, run_erasure",
            *(["from turpentine.judges import judge"] if "judge(" in judges else []),
            "from turpentine.report import write_report",
            "",
            *model,
            *_lost(method),
            f"method = tp.methods.{one_line(method['name'])}({_arguments(_settings(method))})",
            f"protocol = Protocol({_arguments(drawing)})",
            judges,
            f"erasure = Erasure({what}, method, protocol, judges{_goal(result)})",
            'result = run_erasure(model, erasure, "run")',
            "write_report(result)",
        ]
    )


def use(result: ErasureResult) -> str:
    """Return Python that puts the edit on."""
    model, file = list(_model(result)), result.files["edit"].name
    is_edit = isinstance(result.edit, Edit)
    return "\n".join(
        [
            *_imports(model),
            *([] if is_edit else ["from turpentine.edits import load_change"]),
            "",
            *model,
            f"change = {'tp.Edit.load' if is_edit else 'load_change'}({file!r})",
            "with change.on(model):",
            f"    images = model.generate({result.concepts[0].prompts[-1]!r}, seeds=[0, 1, 2, 3])",
        ]
    )


def _judges(result: ErasureResult) -> str:
    """Return the line that makes the judges; those of the pixels alone come by themselves."""
    always = {judge.name for judge in ALWAYS}
    chosen = [judge for judge in result.run.about["judges"] if judge["name"] not in always]
    calls = [", ".join(filter(None, [repr(one["name"]), _arguments(one["settings"])])) for one in chosen]
    return f"judges = [{', '.join(f'judge({call})' for call in calls)}]"


def is_selection(value: Any) -> bool:
    """Return whether a setting, as a run's record has it, is a selection of sites."""
    return isinstance(value, Mapping) and set(value) == {"sites", "window"}


def _goal(result: ErasureResult) -> str:
    return "" if result.goal == "erase" else f", goal={result.goal!r}"


def _imports(model: list[str]) -> list[str]:
    needs_torch = any("dtype=torch." in line for line in model)
    return [*(["import torch", ""] if needs_torch else []), "import turpentine as tp"]


def _model(result: ErasureResult) -> Iterator[str]:
    """Yield the lines that load the model, dtype and all, and say what was on it."""
    identity, about = result.run.identity["model"], result.run.about["model"]
    name = about["name"]
    if _is_pipeline(name):
        yield f"# The model was a pipeline object, a {name} with the fingerprint"
        yield f"# {identity['weights']}: how it was made is not known here."
    source = "pipeline" if _is_pipeline(name) else repr(name)
    yield f"model = tp.load({', '.join([source, *_dtype(name, about['dtype'], about['device'])])})"
    if identity["changes"]:
        yield "# These edits were on it, in this order; put each on with tp.Edit.load(FILE).apply(model):"
        yield from (f"# {edit}" for edit in identity["changes"])


def _is_pipeline(name: str) -> bool:
    """Return whether a name is the class of a pipeline, which names a model that was loaded from an object."""
    return name.isidentifier() and name.endswith("Pipeline")


def _dtype(name: str, dtype: str, device: str) -> list[str]:
    """Return the argument of the dtype, where `load` would choose another one; a pipeline keeps its own."""
    default = "float16" if device.startswith("cuda") else "float32"
    return [] if dtype == default or _is_pipeline(name) else [f"dtype=torch.{dtype}"]


def _settings(method: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that differ from the method's defaults; all of them if the method is not here."""
    plugin = find_class(method["name"])
    defaults = {f.name: f.default for f in fields(plugin.load()) if f.default is not MISSING} if plugin else {}
    return {
        name: ... if name in _objects(method) else value
        for name, value in method["settings"].items()
        if name not in defaults or value != _as_json(defaults[name])
    }


def _lost(method: Mapping[str, Any]) -> Iterator[str]:
    """Yield a comment for each setting that cannot be written, for which the code has three dots."""
    for name, value in _objects(method).items():
        yield f"# The setting {one_line(name)} was an object that has no code: {one_line(str(value))}"


def _objects(method: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that a record holds only by their repr: texts where the method's field takes none."""
    plugin = find_class(method["name"])
    hints = get_type_hints(plugin.load()) if plugin else {}
    return {
        name: value
        for name, value in method["settings"].items()
        if name in hints and _holds_text(value) and not _takes_text(hints[name])
    }


def _holds_text(value: Any) -> bool:
    if isinstance(value, Mapping):
        return not is_selection(value) and any(map(_holds_text, value.values()))
    return any(map(_holds_text, value)) if isinstance(value, list | tuple) else isinstance(value, str)


def _takes_text(hint: Any) -> bool:
    if get_origin(hint) is Literal:
        return any(isinstance(choice, str) for choice in get_args(hint))
    return hint in (str, Any) or any(map(_takes_text, get_args(hint)))


def _as_json(value: Any) -> Any:
    return [_as_json(item) for item in value] if isinstance(value, tuple) else value


def _arguments(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{one_line(name)}={_written(value)}" for name, value in values.items())


def _written(value: Any) -> str:
    """Return a record's value as Python: JSON's lists were tuples, and a selection is taken from the model."""
    if value is ...:
        return "..."
    if isinstance(value, list | tuple):
        return f"({', '.join(map(_written, value))}{',' if len(value) == 1 else ''})"
    if is_selection(value):
        return _selection(**value)
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key!r}: {_written(item)}' for key, item in value.items())}}}"
    return f'float("{value}")' if isinstance(value, float) and not math.isfinite(value) else repr(value)


def _selection(sites: list[str], window: list[float] | None) -> str:
    """Return the selection by its names, one a line."""
    names = "".join(f"    {name!r},\n" for name in sites)
    during = f".during({', '.join(map(repr, window))})" if window else ""
    return f"model.sites.only(name=[\n{names}]){during}"


def _concept(concept: Concept) -> str:
    """Return the call that makes the concept, without its defaults."""
    given = {field.name: getattr(concept, field.name) for field in fields(concept) if field.name != "text"}
    plain = {field.name: field.default for field in fields(concept)}
    more = {name: value for name, value in given.items() if value != plain[name]}
    return f"tp.Concept({', '.join(filter(None, [repr(concept.text), _arguments(more)]))})"
