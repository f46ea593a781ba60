"""For each panel the command and the Python that do the same, to copy."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from turpentine.studio.erasing import SEEDS, TRAINED, locating_letters
from turpentine.studio.looks import labels_of, layer_letters
from turpentine.studio.state import PageState, StackEntry

if TYPE_CHECKING:
    from turpentine.studio.session import Session


@dataclass(frozen=True)
class Recipe:
    """How to do without the page what a panel does.

    Attributes:
        command: Of the shell; "" where the command line cannot.
        python: The same, as a program.
        note: What the command does otherwise; "" for nothing.
    """

    command: str
    python: str
    note: str = ""


def recipe(session: Session, panel: str) -> Recipe:
    """Return the recipe of a panel: "draw", one of the session's PANELS, or "verdict"."""
    return _RECIPES[panel](session, session.state)


def _draw(session: Session, state: PageState) -> Recipe:
    edits = [part for layer in _active(state) for part in ("--edit", f"{_file(session, layer)}:{layer.scale:g}")]
    drawing = ["--seeds", str(state.seed), *_steps(state), "--guidance-scale", f"{state.guidance_scale:g}"]
    call = f"model.generate({state.prompt!r}, seeds={state.seed}, {_arguments(state.drawing())})"
    python = [*_imports(session), f"original = {call}", *_with_stack(session, state, f"edited = {call}")]
    command = _line("generate", *drawing, *edits, *_model(session), prompt=state.prompt)
    return Recipe(command, "\n".join(python), "It draws the picture with the stack." if edits else "")


def _look(
    session: Session, state: PageState, class_name: str, settings: Mapping[str, Any], flags: Sequence[str]
) -> Recipe:
    call = (
        f"finding = explain.{class_name}({_arguments({**settings, **state.drawing()})})(model, {state.prompt!r}, "
        f"{state.seed})"
    )
    is_edited = state.on == "edited" and bool(_active(state))
    python = [*_imports(session, "from turpentine import explain"), *_with_stack(session, state, call, is_edited)]
    python.append("print(finding.summary())")
    drawing = ["--seeds", str(state.seed), *_steps(state), "--guidance-scale", f"{state.guidance_scale:g}"]
    command = _line("explain", class_name.lower(), *flags, *drawing, *_model(session), prompt=state.prompt)
    note = "The command looks into the model without the stack; turpentine apply makes a model of a saved stack."
    return Recipe(command, "\n".join(python), note if is_edited else "")


def _words(session: Session, state: PageState) -> Recipe:
    return _look(session, state, "Maps", {}, [])


def _layers(session: Session, state: PageState) -> Recipe:
    letters = layer_letters(labels_of(session.model))
    return _look(session, state, "Intervene", {"letters": letters}, ["--letters", ",".join(letters)])


def _dynamics(session: Session, state: PageState) -> Recipe:
    return _look(session, state, "Dynamics", {"strip": state.steps}, ["--strip", str(state.steps)])


def _locate(session: Session, state: PageState) -> Recipe:
    letters = locating_letters(labels_of(session.model))
    prompt, seeds = _prompt(state), list(range(state.seed, state.seed + SEEDS))
    flags = ["--letters", ",".join(letters), "--concept", state.concept, "--seeds", f"{seeds[0]}-{seeds[-1]}"]
    flags += [*_steps(state), *_w(state), *_model(session)]
    command = _line("explain", "intervene", *flags, prompt=prompt)
    python = [
        *_imports(session, "from turpentine import explain"),
        f"letters = {letters!r}",
        f"instrument = explain.Intervene(letters=letters, {_arguments(state.drawing())})",
        f"finding = instrument(model, {[prompt] * SEEDS!r}, {seeds!r}, concept={state.concept!r})",
        "print(finding.table)",
    ]
    return Recipe(command, "\n".join(python))


def _erase(session: Session, state: PageState) -> Recipe:
    from turpentine.studio.erasing import method_of

    method = method_of(state, session.model)
    settings: dict[str, Any] = {"sites": ",".join(state.sites)} if state.sites else {}
    trained = {"steps": state.updates, "trajectories": 2, "sampling_steps": state.steps}
    settings |= trained if state.method in TRAINED else {}
    flags = [part for name, value in settings.items() for part in (f"--{name.replace('_', '-')}", str(value))]
    flags = ["--method", state.method, *flags, "--seeds", str(state.seed), *_model(session)]
    command = _line("erase", *flags, prompt=state.concept)
    fields = ", ".join(f"{name}={value!r}" for name, value in vars(method).items() if value != _default(method, name))
    python = [
        *_imports(session),
        f"method = tp.methods.{type(method).__name__}({fields})",
        f"edit = method(model, {state.concept!r})",
        'edit.save("edit.safetensors")',
    ]
    return Recipe(command, "\n".join(python), "The command draws all prompts of the protocol, at 20 steps.")


def _attack(session: Session, state: PageState) -> Recipe:
    layers = _active(state)
    file = str(_file(session, layers[0])) if len(layers) == 1 else "STACK.safetensors"
    flags = ["--concept", state.concept, "--attack", state.attack, "--max-forward", str(state.budget)]
    flags += ["--pictures", str(state.pictures), *_steps(state), *_w(state), "--seed", str(state.seed)]
    target = [file] if layers else ["--against", "original"]
    name = type(_attack_class(state.attack)).__name__
    python = [
        *_imports(session, "from turpentine import attack, judges"),
        *_changes(session, state),
        f"edited = attack.Victim(model, ({', '.join(_names(state))}{',' if layers else ''}))",
        f"trial = attack.Trial(pictures={state.pictures}, {_arguments(state.drawing())})",
        "result = attack.battery(",
        f"    [attack.{name}()], edited, {state.concept!r}, original=attack.Victim(model), judge=judges.EmojiJudge(),",
        f"    budget=attack.Budget(forward={state.budget}), trial=trial, seed={state.seed},",
        ")",
        "print(result.summary())",
    ]
    note = "The command attacks one file: save the stack as one edit first." if len(layers) > 1 else ""
    return Recipe(_line("attack", *target, *flags, *_model(session)), "\n".join(python), note)


def _verdict(session: Session, state: PageState) -> Recipe:
    layers = _active(state)
    file = str(_file(session, layers[0])) if len(layers) == 1 else "STACK.safetensors"
    oracle = ["--oracle", session.oracle_source] if session.oracle_source else []
    command = _line("audit", file, "--concept", state.concept, *oracle, *_model(session))
    python = [
        "import json",
        "",
        f"audit = json.load(open({(state.audit or 'audited/church/audit.json')!r}))",
        'print(audit["verdict"], *audit["reasons"])',
    ]
    return Recipe(command, "\n".join(python))


_RECIPES: Mapping[str, Callable[[Session, PageState], Recipe]] = {
    "draw": _draw,
    "words": _words,
    "layers": _layers,
    "dynamics": _dynamics,
    "locate": _locate,
    "erase": _erase,
    "attack": _attack,
    "verdict": _verdict,
}


def _active(state: PageState) -> list[StackEntry]:
    return [layer for layer in state.layers if layer.scale]


def _file(session: Session, layer: StackEntry) -> str:
    return str(session.folder / "changes" / layer.file)


def _imports(session: Session, *more: str) -> list[str]:
    has_guidance = any(layer.kind != "edit" or layer.scale != 0 for layer in session.state.layers)
    load = ["from turpentine.edits import load_change"] if has_guidance else []
    return ["import turpentine as tp", *more, *load, "", f"model = tp.load({session.source!r})"]


def _names(state: PageState) -> list[str]:
    return [f"change_{number}" for number, _ in enumerate(_active(state), start=1)]


def _changes(session: Session, state: PageState) -> list[str]:
    return [
        f"{name} = load_change({_file(session, layer)!r}).scaled({layer.scale:g})"
        for name, layer in zip(_names(state), _active(state), strict=True)
    ]


def _with_stack(session: Session, state: PageState, line: str, is_edited: bool = True) -> list[str]:
    """Return a line of Python with the stack on the model, or as it is where there is none."""
    if not (_active(state) and is_edited):
        return [line] if is_edited is False or "edited = " not in line else []
    blocks = ", ".join(f"{name}.on(model)" for name in _names(state))
    return [*_changes(session, state), f"with {blocks}:", f"    {line}"]


def _prompt(state: PageState) -> str:
    from turpentine.studio.erasing import concept_of

    return concept_of(state).prompts[-1]


def _attack_class(name: str) -> Any:
    from turpentine.core.plugins import find

    return find(name, "attack").defaults()


def _default(method: Any, name: str) -> Any:
    return type(method).__dataclass_fields__[name].default


def _steps(state: PageState) -> list[str]:
    return ["--steps", str(state.steps)]


def _w(state: PageState) -> list[str]:
    return ["--guidance-scale", f"{state.guidance_scale:g}"]


def _model(session: Session) -> list[str]:
    return [] if session.source == "emoji" else ["--model", session.source]


def _arguments(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in values.items())


def _line(*words: str, prompt: str = "") -> str:
    """Return a command line; two hyphens stand before a prompt that begins with one."""
    count = 2 if words[0] == "explain" else 1
    if prompt.startswith("-"):
        return shlex.join(["turpentine", *words, "--", prompt])
    return shlex.join(["turpentine", *words[:count], *([prompt] if prompt else []), *words[count:]])
