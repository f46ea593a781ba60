"""What a window asks of the studio, and the answer: a dictionary each, so that it needs no web server."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from turpentine.core.errors import BadArgument
from turpentine.studio.panels import job_facts, regions
from turpentine.studio.session import Session
from turpentine.studio.work import sentence

FIELDS = frozenset(
    (
        *("prompt", "seed", "steps", "guidance_scale", "on", "concept", "sites", "method", "updates"),
        *("attack", "budget", "pictures", "audit"),
    )
)
"""What a window may set by itself; the stack is changed by what is done to it."""
DRAWS = ("prompt", "seed", "steps", "guidance_scale")


def act(session: Session, request: Mapping[str, Any]) -> dict[str, Any]:
    """Do what a window asks for, and return what is new on the page; what is wrong is a sentence.

    Args:
        session: Of the studio.
        request: `do`, which of ACTIONS, its arguments, and `digests` of the regions that the window has.
    """
    notice, columns, error = "", [], ""
    try:
        action = ACTIONS.get(str(request.get("do")))
        if action is None:
            raise BadArgument(f"The studio cannot {str(request.get('do'))[:40]!r}.")
        notice, draws = action(session, request)
        columns = session.draw() if draws else []
    except Exception as fault:
        error = sentence(fault)
    return {**look(session, request, columns), "notice": notice, "error": error}


def look(session: Session, request: Mapping[str, Any], columns: Any = ()) -> dict[str, Any]:
    """Return what is new on the page since a window's last look, and the work under way."""
    digests = request.get("digests")
    present = digests if isinstance(digests, Mapping) else {}
    # The work first: a region that is read after it has what the work came to.
    job = job_facts(session)
    return {"regions": regions(session, present, columns), "state": session.state.model_dump(mode="json"), "job": job}


def stop(session: Session, request: Mapping[str, Any]) -> dict[str, Any]:
    """Stop the work under way."""
    session.desk.stop()
    return look(session, request)


Outcome = tuple[str, bool]
"""What to say, and whether the pictures are to be drawn."""


def _change(session: Session, request: Mapping[str, Any]) -> Outcome:
    fields = _of(request, "fields", Mapping)
    foreign = sorted(set(fields) - FIELDS)
    if foreign:
        raise BadArgument(f"The studio has no field {str(foreign[0])[:40]!r}.")
    session.change(**fields)
    return "", bool(set(fields) & set(DRAWS))


def _add(session: Session, request: Mapping[str, Any]) -> Outcome:
    layer = session.add(_of(request, "path", str))
    return f"{layer.title} is on.", True


def _guide(session: Session, request: Mapping[str, Any]) -> Outcome:
    concept = _of(request, "concept", str)
    layer = session.guide(_of(request, "method", str), concept)
    return f"{layer.title} is on. {session.note(concept)}".strip(), True


def _scale(session: Session, request: Mapping[str, Any]) -> Outcome:
    session.scale(_of(request, "layer", str), _of(request, "scale", int | float))
    return "", True


def _take_off(session: Session, request: Mapping[str, Any]) -> Outcome:
    session.take_off(_of(request, "layer", str))
    return "", True


def _save(session: Session, request: Mapping[str, Any]) -> Outcome:
    return f"The stack is saved as {session.save(_of(request, 'name', str))}.", False


def _draw(session: Session, request: Mapping[str, Any]) -> Outcome:
    return "", True


def _work(session: Session, request: Mapping[str, Any]) -> Outcome:
    session.begin(_of(request, "panel", str))
    return "", False


ACTIONS: Mapping[str, Callable[[Session, Mapping[str, Any]], Outcome]] = {
    "change": _change,
    "add": _add,
    "guide": _guide,
    "scale": _scale,
    "take off": _take_off,
    "save": _save,
    "draw": _draw,
    "work": _work,
}


def _of(request: Mapping[str, Any], name: str, kind: Any) -> Any:
    """Return an argument of a request.

    Raises:
        BadArgument: It is missing, or of another type.
    """
    value = request.get(name)
    if not isinstance(value, kind):
        raise BadArgument(f"The {name} {str(value)[:40]!r} cannot be: write another.")
    return value
