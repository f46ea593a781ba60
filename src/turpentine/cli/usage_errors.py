"""What is wrong with a command line, as one sentence: what is missing, and which settings a method has."""

from __future__ import annotations

from cyclopts import (
    Argument,
    CoercionError,
    CycloptsError,
    Group,
    MissingArgumentError,
    UnknownCommandError,
    UnknownOptionError,
    UnusedCliTokensError,
)

from turpentine.cli.help_text import example_of
from turpentine.cli.terminal import plain
from turpentine.core.plugins import METHODS, plugins
from turpentine.core.settings import field_types
from turpentine.core.suggest import nearest, offer

SETTINGS = "Settings of "
"""How the group of a plug-in's flags begins."""


def usage_sentence(error: CycloptsError) -> str:
    """Return what is wrong, and where to read how it should be."""
    match error:
        case MissingArgumentError(keyword=None) if error.argument is not None and not error.argument.tokens:
            return _missing(error)
        case UnknownOptionError():
            return _unknown(error)
        case UnknownCommandError(unused_tokens=[name, *_]):
            return f"{_command(error)} has no command {plain(name)!r}: {offer(name, _commands(error))}"
        case UnusedCliTokensError(unused_tokens=[text, *_]):
            return f"{_command(error)} does not take {plain(text)!r}: see {_command(error)} --help."
        case CoercionError(target_type=kind, token=token) if kind is float and token is not None:
            named = f"Invalid value for {plain(token.keyword or '')}: {plain(token.value)!r}"
            return f"{named} is no number. See {_command(error)} --help."
    text = plain(str(error))
    ended = text if text.endswith((".", "?", "!")) else f"{text}."
    return f"{ended} See {_command(error)} --help."


def _missing(error: MissingArgumentError) -> str:
    """Return what a command needs, with its example."""
    assert error.argument is not None
    name = error.argument.name
    example = example_of(getattr(error.target, "__doc__", None))
    way_out = f"write {example}" if example else f"see {_command(error)} --help"
    if name.startswith("-"):
        return f"{_command(error)} needs {name}: {way_out}."
    purpose = (error.command_chain or ("",))[-1]
    return f"There is no {name.lower().removesuffix('s')} to {purpose}: {way_out}."


def _unknown(error: UnknownOptionError) -> str:
    """Return the option nearest to an unknown one, or the settings that the method has, and who has that one."""
    flag = plain(error.token.keyword or error.token.value).split("=")[0]
    names = [name for each in error.argument_collection if each.parse for name in each.names]
    own = {group.name: each.names[0] for each in error.argument_collection for group in _settings_groups(each)}
    close = [name for name in nearest(flag, names) if flag.startswith("--") and name[2:3] == flag[2:3]]
    if close or not own:
        hint = f"did you mean {close[0]}?" if close else f"see {_command(error)} --help."
        return f"{_command(error)} has no option {flag}: {hint}"
    group = next(iter(own))
    flags = [each.names[0] for each in error.argument_collection if _settings_groups(each) and each.parse]
    flags = [name for name in flags if name.startswith("--")]
    others = [name for name in _methods_with(flag) if name != group.removeprefix(SETTINGS)]
    elsewhere = f"; {', '.join(others)} {'has' if len(others) == 1 else 'have'} {flag}" if others else ""
    return f"{group.removeprefix(SETTINGS)} has no setting {flag}, it has {', '.join(flags)}{elsewhere}."


def _settings_groups(argument: Argument) -> list[Group]:
    groups = argument.parameter.group or ()
    groups = () if isinstance(groups, Group) else groups
    return [group for group in groups if isinstance(group, Group) and group.name.startswith(SETTINGS)]


def _methods_with(flag: str) -> list[str]:
    """Return the names of the methods that have a setting of this flag, without their variants."""
    field = flag.removeprefix("--").replace("-", "_")
    targets: dict[str, str] = {}
    for plugin in plugins(METHODS).values():
        if field in field_types(plugin.load()):
            targets.setdefault(plugin.target, plugin.name)
    return list(targets.values())


def _commands(error: CycloptsError) -> list[str]:
    return [name for name in error.app or () if not name.startswith("-")]


def _command(error: CycloptsError) -> str:
    return " ".join(["turpentine", *(error.command_chain or ())])
