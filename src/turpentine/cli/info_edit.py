"""What is in the file of an edit or a guidance: where it came from, and how much it changes at which site."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from turpentine.cli.terminal import plain, say, say_json, show_table
from turpentine.core.errors import EditError
from turpentine.core.formatting import counted
from turpentine.edits.places import check_readable

if TYPE_CHECKING:
    from turpentine.edits import Change, Edit

_BAR = 24
_MAKERS = ("turpentine", "torch", "diffusers")
_EIGHTHS = " ▏▎▍▌▋▊▉"


@dataclass(frozen=True)
class SiteChange:
    """What an edit changes at a site.

    Attributes:
        site: Its dotted name.
        tensors: How many of its weights and biases change.
        weights: Single numbers in them.
        zeroed: How many numbers are set to 0.
        norm: ‖ΔW‖ at the edit's strength, Frobenius, without the zeroed numbers, whose norm is the model's.
    """

    site: str
    tensors: int
    weights: int
    zeroed: int
    norm: float


def show_change(path: Path, *, as_json: bool) -> None:
    """Print what is in a file.

    Args:
        path: Of an edit or a guidance, or the folder of a run.
        as_json: Print one JSON document.

    Raises:
        EditError: The file is missing, another program's, or damaged.
    """
    path = check_readable(path)
    change = _load(path)
    sites = site_changes(change)
    if as_json:
        say_json({**_facts(path, change), "sites": [asdict(site) for site in sites]})
        return
    show_table(("", ""), _readable_facts(path, change).items())
    if sites:
        say()
        _show_sites(sites)


def site_changes(change: Change) -> list[SiteChange]:
    """Return the sites that an edit touches, in order of their names, text encoders first; none for a guidance."""
    from turpentine.edits import Edit
    from turpentine.models.families import module_of

    if not isinstance(change, Edit):
        return []
    names: dict[str, list[str]] = {}
    for name in sorted(change.names, key=_order):
        names.setdefault(module_of(name), []).append(name)
    return [_site_change(change, site, inside) for site, inside in names.items()]


def bar(share: float) -> str:
    """Return a share of 0 to 1 as a bar, to an eighth of a character.

    Example:
        >>> bar(0.25)
        '██████'
    """
    whole, eighths = divmod(round(8 * _BAR * share), 8)
    return ("█" * whole + _EIGHTHS[eighths]).rstrip()


def _load(path: Path) -> Change:
    from turpentine.core.sealed import is_foreign
    from turpentine.edits import load_change

    if path.is_dir() and not any(path.rglob("*.safetensors")):
        raise EditError(f"There is no edit in {plain(str(path))}: give the file of one, or the folder of a run.")
    if path.is_dir() or is_foreign(path):
        raise EditError(f"{path} is no edit of Turpentine's: `turpentine apply {path} --to edit --out FILE` makes one.")
    return load_change(path)


def _order(name: str) -> list[Any]:
    """Return a key by which numbers in a name count as numbers."""
    return [int(piece) if piece.isdigit() else piece for piece in re.split(r"(\d+)", name)]


def _site_change(edit: Edit, site: str, names: Sequence[str]) -> SiteChange:
    import torch

    changes = [edit.delta(name, torch.zeros(edit.shape(name))) for name in names if name in edit.deltas]
    return SiteChange(
        site,
        tensors=len(names),
        weights=sum(math.prod(edit.shape(name)) for name in names),
        zeroed=sum(len(edit.zeroed[name]) for name in names if name in edit.zeroed),
        norm=abs(edit.strength) * math.hypot(*(float(change.double().norm()) for change in changes)),
    )


def _facts(path: Path, change: Change) -> dict[str, Any]:
    return {
        "file": str(path),
        "bytes": path.stat().st_size,
        "id": change.id,
        "strength": change.strength,
        "signer": _signer(change),
        "provenance": change.provenance.to_json(),
    }


def _signer(change: Change) -> str | None:
    """Return the fingerprint of the key that an edit says it is signed by."""
    signature = getattr(change, "signature", None)
    return signature.signer if signature else None


def _readable_facts(path: Path, change: Change) -> dict[str, str]:
    """Return the facts as texts, without empty ones."""
    provenance = change.provenance
    settings = {name: value for name, value in provenance.settings.items() if not _is_empty(value) and name != "seed"}
    facts = {
        "file": f"{path}, {path.stat().st_size:,} bytes",
        "method": provenance.title,
        "concepts": ", ".join(f"{concept.text} ({concept.kind})" for concept in provenance.concepts),
        "strength": f"{change.strength:g}",
        "settings": ", ".join(f"{name} {_setting(value)}" for name, value in settings.items()),
        "measured": ", ".join(f"{name} {_short(value)}" for name, value in provenance.measurements.items()),
        "seed": "" if provenance.seed is None else str(provenance.seed),
        "base": f"{provenance.model} {provenance.base[:12]}".strip(),
        "over": ", ".join(each[:12] for each in provenance.onto),
        "made with": ", ".join(f"{name} {version}" for name, version in provenance.versions.items() if name in _MAKERS),
        "signed by": f"{signer}, by its own word: see turpentine verify" if (signer := _signer(change)) else "",
        "id": change.id,
    }
    return {key: plain(value) for key, value in facts.items() if value}


def _is_empty(value: Any) -> bool:
    return value is None or (isinstance(value, str | list | tuple) and not value)


def _setting(value: Any) -> str:
    """Return a setting as a command line writes it: yes or no, and several texts side by side."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return " + ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _short(value: Any) -> str:
    """Return a measured value, its numbers to four digits."""
    several = value if isinstance(value, tuple) else (value,)
    return " ".join(f"{each:.4g}" if isinstance(each, float) else str(each) for each in several)


def _show_sites(sites: Sequence[SiteChange]) -> None:
    """Print a bar for the norm at each site; where an edit only zeroes, for the share of its weights."""
    only_zeroes = not any(site.norm for site in sites)
    sizes = [site.zeroed / site.weights if only_zeroes else site.norm for site in sites]
    largest = max(sizes) or 1
    columns = {
        "site": [site.site for site in sites],
        "weights": [f"{site.weights:,}" for site in sites],
        **({"zeroed": [f"{site.zeroed:,}" for site in sites]} if any(site.zeroed for site in sites) else {}),
        "share" if only_zeroes else "norm": [f"{size:.3g}" for size in sizes],
        "": [bar(size / largest) for size in sizes],
    }
    show_table(tuple(columns), zip(*columns.values(), strict=True))
    what = "share of the weights that are zeroed" if only_zeroes else "Frobenius norm of the change"
    say(f"\n{counted(len(sites), 'site')}; the bars are of the {what}.")
