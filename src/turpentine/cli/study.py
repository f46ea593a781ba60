"""`turpentine study`: ratings by people, from the plan to what they say."""

from __future__ import annotations

import shlex
import socket
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, Parameter
from cyclopts.types import PositiveInt

from turpentine.cli.checks import check_folder, check_lists_alone
from turpentine.cli.help_text import example_of, summary, usage_of, with_help, written_as
from turpentine.cli.options import Json
from turpentine.cli.progress_bars import busy
from turpentine.cli.terminal import plain, say, say_json, say_prose, show_table
from turpentine.core.errors import BadArgument
from turpentine.core.formatting import counted, percent
from turpentine.core.safe_text import safe_name

if TYPE_CHECKING:
    from turpentine.study.estimate import ChoicePower, Needs, Power
    from turpentine.study.store import StudyStore
    from turpentine.study.study import Study

FOLDER = Path("studies")
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_NEEDED = ("fastapi", "sqlalchemy", "uvicorn", "psycopg")

Changes = Annotated[tuple[str, ...], Parameter(name="--set", metavar="KEY=VALUE", show_default=False)]
Database = Annotated[str | None, Parameter(name="--db", metavar="FILE|URL")]
Port = Annotated[PositiveInt, Parameter.combine(written_as(int), Parameter())]
Flag = Parameter(negative=(), show_default=False)


def study_app() -> App:
    """Return the command with its four commands."""
    app = App(
        name="study",
        help="Have people rate pictures: what it takes, the server, the answers, and what they say.",
        help_epilogue=f"Example: {example_of(check.__doc__)}",
    )
    commands: tuple[Callable[..., int | None], ...] = (check, serve, export, report)
    for command in commands:
        app.command(
            with_help(command),
            name=command.__name__,
            help=summary(command.__doc__),
            help_epilogue=f"Example: {example_of(command.__doc__)}",
            usage=usage_of(f"turpentine study {command.__name__}", command),
        )
    return app


def check(
    plan: str | None = None,
    /,
    *,
    shipped: Annotated[bool, Parameter(name="--list", negative=(), show_default=False)] = False,
    changes: Changes = (),
    json: Json = False,
) -> None:
    """Check a plan and its pictures, and say how many raters and minutes it takes, and what that can show.

    Args:
        plan: A study's file (YAML), or the name of one that ships; see --list.
        shipped: List the studies that ship.
        changes: Another value for a key of the file, such as ratings=9; may be given several times.
        json: Print one JSON document, also of an error.

    Example:
        turpentine study check artist-likeness
    """
    if shipped:
        check_lists_alone(plan)
        _list_shipped(json)
        return
    chosen = _read(plan, changes)
    from turpentine.study.estimate import needs_of

    chosen.check_pictures()
    needs = needs_of(chosen)
    if json:
        say_json({"plan": chosen.hash, **needs.numbers()})
        return
    _show_needs(chosen, needs)


def serve(
    plan: str,
    /,
    *,
    db: Database = None,
    host: str = "127.0.0.1",
    port: Port = 8000,
    name: tuple[str, ...] = (),
    changes: Changes = (),
    json: Json = False,
) -> None:
    """Serve a study to raters, who come by a link, until Ctrl-C; the same command goes on, with the same links.

    Args:
        plan: A study's file (YAML), or the name of one that ships.
        db: A file for the answers (SQLite), or postgresql://USER@HOST/NAME, which several servers can share; by default
            studies/NAME.sqlite.
        host: The address to listen on; another than the loopback's needs --name.
        port: The port to listen on.
        name: The name by which raters reach the server, such as study.example.org behind a proxy that has TLS; may be
            given several times.
        changes: Another value for a key of the file; the same must be given to export and report.
        json: Print one JSON document with the link before it listens, also of an error.

    Raises:
        BadArgument: The address is open to others and has no name, or the port is taken.

    Example:
        turpentine study serve artist-likeness --port 8000
    """
    _check_extra()
    if host not in _LOOPBACK and not name:
        raise BadArgument(f"--host {host} is open to other machines: give the --name by which raters reach this one.")
    chosen = _read(plan, changes)
    _check_port(host, port)
    chosen.check_pictures()
    store = _store(chosen, plan, db, create=True)
    place = f"https://{name[0]}" if name else f"http://{'[::1]' if host == '::1' else host}:{port}"
    link = f"{place}/s/{store.entry}"
    if json:
        say_json({"plan": chosen.hash, "link": link, "raters": chosen.raters})
    else:
        say(f"Raters come by this link: {link}")
        say_prose(f"It takes {counted(chosen.raters, 'rater')}; Ctrl-C stops the server, and the same command goes on.")
    try:
        _run_server(store, host, port, name)
    finally:
        if not json:
            say("Stopped. All answers that were given are stored.")


def export(
    plan: str,
    /,
    *,
    out: Path,
    db: Database = None,
    form: Annotated[Literal["parquet", "csv", "json"], Parameter(name="--format")] = "parquet",
    blind: Annotated[bool, Flag] = False,
    changes: Changes = (),
    json: Json = False,
) -> None:
    """Write all answers and the plan that they are of into a folder.

    Args:
        plan: A study's file (YAML), or the name of one that ships.
        out: The folder.
        db: Where the answers are; by default studies/NAME.sqlite.
        form: Of the file of answers.
        blind: Write letters in the place of conditions.
        changes: Another value for a key of the file, as the server was given it.
        json: Print one JSON document, also of an error.

    Example:
        turpentine study export artist-likeness --out answers --format csv
    """
    from turpentine.study.answers import answer_table, blind_names, blinded, write_answers

    chosen, store = _opened(plan, changes, db, out)
    table = answer_table(chosen, *store.everything())
    files = write_answers(blinded(table, blind_names(chosen)) if blind else table, chosen, out, form)
    if json:
        say_json({"plan": chosen.hash, "answers": len(table), "files": [str(path) for path in files]})
        return
    say(f"{counted(len(table), 'answer')} to the plan {chosen.hash[:16]}")
    for path in files:
        say(plain(str(path)))


def report(
    plan: str,
    /,
    *,
    out: Path | None = None,
    db: Database = None,
    blind: Annotated[bool, Flag] = False,
    changes: Changes = (),
    json: Json = False,
) -> None:
    """Say what the answers come to, as a page, with the answers of careless raters and without.

    Args:
        plan: A study's file (YAML), or the name of one that ships.
        out: The folder for the page, its numbers, and the judge's errors; by default studies/NAME.
        db: Where the answers are; by default studies/NAME.sqlite.
        blind: Write letters in the place of conditions.
        changes: Another value for a key of the file, as the server was given it.
        json: Print one JSON document, also of an error.

    Example:
        turpentine study report artist-likeness
    """
    folder = out or FOLDER / safe_name(Path(plan).stem)
    chosen, store = _opened(plan, changes, db, folder)
    with busy("Counting"):
        files, numbers = _write_report(chosen, store, folder, blind, plan)
    if json:
        say_json({**numbers, "files": [str(path) for path in files]})
        return
    say(f"{counted(numbers['answers'], 'answer')}, {counted(len(numbers['excluded']), 'rater')} left out")
    for path in files:
        say(plain(str(path)))


def _write_report(
    chosen: Study, store: StudyStore, folder: Path, blind: bool, plan: str
) -> tuple[list[Path], dict[str, Any]]:
    """Write the page, the numbers and the judge's errors."""
    import json as json_module

    from turpentine.core.atomic_files import write_text_whole
    from turpentine.study.analysis import analyse
    from turpentine.study.answers import answer_table, blind_names
    from turpentine.study.judge_table import judge_tables
    from turpentine.study.page import write_study_page

    raters, answers = store.everything()
    table = answer_table(chosen, raters, answers)
    findings = analyse(chosen, table, [rater.state for rater in raters])
    judges = [] if blind else judge_tables(chosen, table, list(findings.excluded))
    command = shlex.join(["turpentine", "study", "report", plan])
    names = blind_names(chosen) if blind else None
    files = [write_study_page(findings, judges, folder / "study.html", names=names, command=command)]
    numbers = findings.numbers()
    if not blind:
        write_text_whole(folder / "study.json", json_module.dumps(numbers, indent=2))
        files += [folder / "study.json", *(each.write(folder) for each in judges)]
    return files, numbers


def _opened(plan: str, changes: Sequence[str], db: str | None, out: Path) -> tuple[Study, StudyStore]:
    _check_extra()
    check_folder(out)
    chosen = _read(plan, changes)
    return chosen, _store(chosen, plan, db)


def _read(plan: str | None, changes: Sequence[str]) -> Study:
    if plan is None:
        raise BadArgument("There is no plan: write turpentine study check artist-likeness.")
    from turpentine.study.study import read_study

    return read_study(plan, changes)


def _store(chosen: Study, plan: str, db: str | None, create: bool = False) -> StudyStore:
    from turpentine.study.store import StudyStore

    url = db or str(FOLDER / f"{safe_name(Path(plan).stem)}.sqlite")
    if not create and "://" not in url and not Path(url).is_file():
        raise BadArgument(f"There are no answers in {plain(url)}: turpentine study serve makes the file.")
    return StudyStore(url, chosen, create=create)


def _check_extra() -> None:
    """Check that what the server and its database need is installed.

    Raises:
        BadArgument: It is not; how to install it is said.
    """
    if any(find_spec(name) is None for name in _NEEDED):
        raise BadArgument("turpentine study needs its extra: pip install 'turpentine[study]'.")


def _check_port(host: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except (OSError, OverflowError) as error:
            raise BadArgument(f"Nobody can listen on {host}, port {port}: choose another --port.") from error


def _run_server(store: StudyStore, host: str, port: int, names: Sequence[str]) -> None:
    """Serve until Ctrl-C; no line of a log says who came."""
    import uvicorn

    from turpentine.study.server import create_app

    config = uvicorn.Config(
        create_app(store, names),
        host=host,
        port=port,
        access_log=False,
        log_level="warning",
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=75,  # a rater looks at a picture for longer than uvicorn's 5 s
        lifespan="off",
    )
    try:
        uvicorn.Server(config).run()  # which raises a signal again once it has ended
    finally:
        store.close()


def _list_shipped(json: bool) -> None:
    from turpentine.bench.yaml_lines import read_yaml
    from turpentine.study.spec import shipped_studies

    rows = [
        {"name": name, **{key: str(value.get(key, "")) for key in ("title", "source")}}
        for name, text in shipped_studies().items()
        for value in [read_yaml(text, name).value]
    ]
    if json:
        say_json(rows)
    else:
        show_table(("name", "what raters read", "counterpart of"), [tuple(row.values()) for row in rows])


def _show_needs(chosen: Study, needs: Needs) -> None:
    pictures = ", ".join(f"{count} of {plain(name)}" for name, count in needs.items.items())
    say_prose(f"{counted(sum(needs.items.values()), 'picture')}: {pictures}.")
    if needs.pairs:
        say_prose(f"{counted(needs.pairs, 'pair')} to compare.")
    say_prose(
        f"{counted(needs.raters, 'rater')} with up to {counted(needs.trials, 'answer')} each, about "
        f"{counted(max(1, round(needs.minutes)), 'minute')}; {needs.hours:.1f} hours in all."
    )
    for each in needs.powers:
        say_prose(_power_sentence(each))
    for choice in needs.choices:
        say_prose(_choice_sentence(choice))
    say(f"Plan {chosen.hash[:16]}")


def _power_sentence(power: Power) -> str:
    """Return what ratings, or yes and no, show of two conditions."""
    answers = f"{counted(power.answers, 'answer')} to {counted(power.items, 'picture')} of a condition"

    times, unit = (1, "points of 1 to 5") if power.is_rating else (100, "points of 100")
    return (
        f"{plain(power.question)}: {answers} show a difference of {times * power.detectable:.2g} {unit} with a chance "
        f"of 80\u202f%, and one of {times * power.difference:g} {unit} with {percent(power.power)}."
    )


def _choice_sentence(choice: ChoicePower) -> str:
    """Return what choices show of the two conditions that they say least of."""
    one, other = (plain(each) for each in choice.conditions)
    answers = f"{plain(choice.question)}: {counted(choice.answers, 'answer')} to {counted(choice.pairs, 'pair')}"
    if choice.detectable == 1:
        return f"{answers}, and no chain of pairs leads from {one} to {other}: these two cannot be ranked."
    return (
        f"{answers} show of {one} and {other}, or any other two, that {percent(choice.detectable)} of those who see a "
        f"difference prefer one, with a chance of 80\u202f%, and that {percent(choice.preference)} do with "
        f"{percent(choice.power)}."
    )
