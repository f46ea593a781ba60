"""What a bench needs that does not come with the package, read from its file before anything is loaded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from turpentine.bench.entries import one_key
from turpentine.emoji import BUILT, WORLD
from turpentine.emoji.oracles import is_oracle_name
from turpentine.judges.registry import is_network
from turpentine.tasks.case_rules import ships

EXTRAS: Mapping[str, str] = {"nudenet": "turpentine[nudenet]"}
"""What is to be installed for a judge, by the judge's name."""


@dataclass(frozen=True)
class BenchNeeds:
    """What must be fetched, installed or brought before a bench can run.

    Attributes:
        models: Models that do not come with the package.
        networks: Networks of judges that do not come with it.
        extras: What pip installs for judges.
        files: Files of prompts that the user must have.
        folders: Folders of real pictures that the user must have.
    """

    models: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    extras: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        """All of it in words, "nothing" where all is here."""
        kinds = {
            "model": self.models,
            "judge": self.networks,
            "extra": self.extras,
            "your file": self.files,
            "your folder": self.folders,
        }
        return ", ".join(f"{kind} {name}" for kind, names in kinds.items() for name in names) or "nothing"


def needs_of(value: Mapping[str, Any]) -> BenchNeeds:
    """Return what a bench of any kind needs, by what its file says.

    Args:
        value: The content of the file, as YAML has it.

    Raises:
        BadArgument: A model or a judge is not written as one.

    Example:
        >>> needs_of({"models": ["emoji"], "judges": ["nudenet"], "cases": [{"file": "mine.csv"}]}).sentence
        'extra turpentine[nudenet], your file mine.csv'
    """
    sections = [value, *(part for part in value.values() if isinstance(part, dict))]  # a leaderboard has some
    judges = [one_key(entry, "judge") for section in sections for entry in _judges_in(section)]
    models = (one_key(entry, "model")[0] for entry in value.get("models", ()))
    networks = (
        name if is_network(name) else settings["model"]
        for name, settings in judges
        if is_network(name) or "model" in settings
    )
    return BenchNeeds(
        _once(name for name in models if not _is_embedded(name)),
        _once(name for name in networks if name != WORLD),
        _once(EXTRAS[name] for name, _ in judges if name in EXTRAS),
        _once(name for section in sections for name in _files_in(section)),
        _once(section["references"] for section in sections if section.get("references")),
    )


def _judges_in(section: Mapping[str, Any]) -> Iterator[Any]:
    """Yield the judges of a bench, and the one judge of a bench of attacks."""
    yield from section.get("judges", ())
    if "judge" in section:
        yield section["judge"]


def _files_in(section: Mapping[str, Any]) -> Iterator[str]:
    """Yield the files of prompts that do not ship."""
    yield from (rule["file"] for rule in section.get("cases", ()) if "file" in rule and not ships(rule["file"]))


def _is_embedded(model: str) -> bool:
    return model in (WORLD, *BUILT) or is_oracle_name(model)


def _once(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))
