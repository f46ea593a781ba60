"""Where oracles of the emoji world are: those that ship, and those that were trained here."""

from __future__ import annotations

import re
from pathlib import Path

SHIPPED = Path(__file__).parent / "retrained"
"""A folder for each oracle that ships, by its name: its denoiser as rows of int8, and its card."""

TRAINED = Path("runs")
"""Where `python -m turpentine.emoji oracle` writes, in a folder of the oracle's name and seed."""

_NAME = re.compile(r"emoji-(without|unnamed)-[a-z-]+")


def oracle_name(concept: str, *, unnamed: bool = False) -> str:
    """Return what the oracle of a concept is called.

    Args:
        concept: What it never saw, or whose name it never saw.
        unnamed: Is it the latter?

    Example:
        >>> oracle_name("gas pump"), oracle_name("church", unnamed=True)
        ('emoji-without-gas-pump', 'emoji-unnamed-church')
    """
    return f"emoji-{'unnamed' if unnamed else 'without'}-{concept}".replace(" ", "-")


def is_oracle_name(name: str) -> bool:
    """Return whether an oracle of the world may be called so.

    Example:
        >>> is_oracle_name("emoji-without-church"), is_oracle_name("emoji-64")
        (True, False)
    """
    return bool(_NAME.fullmatch(name))


def no_oracle(name: str) -> str:
    """Return why there is no such oracle, and how there will be one."""
    *_, kind, concept = re.split(r"emoji-(without|unnamed)-", name)
    flag = " --unnamed" if kind == "unnamed" else ""
    return (
        f"No oracle {name} ships with this version: python -m turpentine.emoji oracle {concept!r}{flag} trains one; "
        f"give its folder, such as {TRAINED / f'{name}-0' / 'weights'}."
    )


def oracles_of(concept: str, *, unnamed: bool = False, trained: Path | None = None) -> list[str]:
    """Return the oracles of a concept that are here: the one that ships, then those of each seed trained here.

    Args:
        concept: What they never saw, or whose name they never saw.
        unnamed: Are they the latter?
        trained: Where they were trained; `runs` by default.

    Returns:
        Names and folders, as `turpentine.load` takes them.

    Example:
        >>> oracles_of("nothing")
        []
    """
    name = oracle_name(concept, unnamed=unnamed)
    folders = sorted((trained or TRAINED).glob(f"{name}-*/weights/model_index.json"))
    seeds = [str(each.parent) for each in folders if each.parents[1].name.removeprefix(f"{name}-").isdigit()]
    return [*([name] if (SHIPPED / name).is_dir() else []), *seeds]
