"""`turpentine studio`: the interactive page."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from cyclopts.types import NonNegativeInt

from turpentine.cli.checks import check_folder
from turpentine.cli.options import OUTPUT, Json, ModelChoice, ModelFlags, check_judge_flag, judge_of, parse_edits
from turpentine.cli.terminal import plain, say, say_json

if TYPE_CHECKING:
    from turpentine.studio import Session

FOLDER = Path("studio")


def studio(
    *,
    edit: Annotated[tuple[str, ...], Parameter(metavar="FILE[:SCALE]", show_default=False)] = (),
    oracle: str | None = None,
    audit: Path | None = None,
    by: str | None = None,
    port: NonNegativeInt = 7860,
    open: Annotated[bool, Parameter(negative=(), show_default=False)] = False,
    source: Annotated[ModelChoice, ModelFlags] = ModelChoice(),
    out: Annotated[Path, Parameter(group=OUTPUT)] = FOLDER,
    json: Json = False,
) -> None:
    """Open a page where one prompt and seed is seen original, edited and oracle while you edit, look, erase and attack.

    It is served on this machine alone until Ctrl-C, by the link that is printed; what it holds is there again with the
    same folder. It needs the extra: pip install 'turpentine[studio]'.

    Args:
        edit: What to put on the stack, and its scale, 1 by default; may be given several times.
        oracle: A model that never saw the concept, for a third column.
        audit: The folder or the audit.json of an audit, whose verdict is shown.
        by: Who judges pictures, such as emoji or "classifier: {model: FOLDER}"; by default the emoji world's judge for
            its own models, and clip for others if its weights are here.
        port: Where it listens; 0 for any that is free.
        open: Open the page in the browser of this machine.
        source: The model, and where it runs.
        out: The folder for all that it writes.
        json: Print one JSON document with the link when it listens, also of an error.

    Raises:
        BadArgument: gradio is missing, the port is taken, or another studio works in the folder.
        EditError: An edit cannot be read, or does not fit the model.

    Example:
        turpentine studio --edit runs/church-uce:0.5
    """
    changes = parse_edits(edit)
    check_judge_flag(by)
    check_folder(out)
    source.check()
    from turpentine.studio.server import check_installed, free_port, serving

    check_installed()
    free_port(port)
    from turpentine.edits.files import check_change
    from turpentine.studio.claim import claimed

    for path, _ in changes:
        check_change(path)
    with claimed(out):
        session = _session(out, source, oracle, by)
        for path, scale in changes:
            session.add(str(path), scale, again=True)
        if audit is not None:
            session.change(audit=str(audit))
            session.verdict()
        with serving(session, port) as running:
            _show_link(running.link, out, open, json)
            until_interrupted()


def _show_link(link: str, out: Path, in_browser: bool, json: bool) -> None:
    if json:
        say_json({"link": link, "folder": str(out)})
    else:
        say(f"The studio is at {link}\nIts folder is {plain(str(out))}. Ctrl-C ends it.")
    if in_browser:
        import webbrowser

        webbrowser.open(link)


def until_interrupted() -> None:
    """Wait for Ctrl-C."""
    threading.Event().wait()


def _session(out: Path, source: ModelChoice, oracle: str | None, by: str | None) -> Session:
    from turpentine.studio import Session

    model = source.load()
    other = replace(source, model=oracle).load() if oracle is not None else None
    judge = judge_of(by, model.name) if by is not None else None
    return Session(model, out, oracle=other, judge=judge, source=source.model, oracle_source=oracle or "")
