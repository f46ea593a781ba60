"""`turpentine info`: versions, devices and the anatomy of a model; or the content of an edit."""

from __future__ import annotations

import platform
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from turpentine.cli.info_edit import show_change
from turpentine.cli.options import Json, ModelChoice, ModelFlags
from turpentine.cli.terminal import plain, say, say_json, show_table
from turpentine.core.errors import BadArgument
from turpentine.core.formatting import counted
from turpentine.models.loading.hub import is_hub_id
from turpentine.models.loading.source import is_model, place_of

if TYPE_CHECKING:
    from turpentine.models import Model, Site, Sites


def info(
    file: Path | None = None,
    *,
    kind: str | None = None,
    label: str | None = None,
    level: Literal["module", "layer"] = "module",
    source: Annotated[ModelChoice, ModelFlags] = ModelChoice(),
    json: Json = False,
) -> None:
    """Show versions, devices, and a model's sites: its named parts with their kinds and sizes; or what is in an edit.

    Args:
        file: The file of an edit or a guidance, or the folder of a run: show what made it, of what, and the sites that
            it changes; no model is loaded. Or a model as --model takes it.
        kind: Only sites whose kind fits, such as --kind cross-attention.
        label: Only sites whose label fits, such as --label 'UP*'.
        level: Whole modules, or the layers inside them.
        source: Which model, and where it runs.
        json: Print one JSON document, also of an error.

    Raises:
        BadArgument: There is an edit's file together with a kind or a label, or two models.

    Example:
        turpentine info --kind cross-attention
    """
    if file is not None and (is_model(str(file)) or is_hub_id(str(file))):
        if source.model not in (ModelChoice.model, str(file)):
            raise BadArgument(f"{plain(str(file))} is a model and --model names another: leave one of them out.")
        source = replace(source, model=str(file))
    elif file is not None:
        if kind is not None or label is not None:
            raise BadArgument("--kind and --label choose sites of a model: leave them out with a file.")
        show_change(file, as_json=json)
        return
    source.check()
    model = source.load()
    sites = model.sites.only(kind=kind, label=label, level=level)
    machine = _machine()
    if json:
        say_json({"machine": machine, "model": _facts(model), "sites": [_as_json(model, site) for site in sites]})
    else:
        show_table(("", ""), machine.items())
        _show_model(model, sites)


def _facts(model: Model) -> dict[str, Any]:
    """Return what a model is, also which world it draws, and where its card is."""
    from turpentine.judges.worlds import world_of_model
    from turpentine.models.saving import CARD

    card = place_of(model.name) / CARD
    return {
        **model.describe(),
        "world": world_of_model(model),
        "sites": dict(Counter(site.kind for site in model.sites.only(level="module"))),
        "card": str(card) if card.is_file() else None,
        "fingerprint": model.fingerprint,
    }


def _machine() -> dict[str, Any]:
    import torch

    import turpentine
    from turpentine.edits.provenance import library_versions

    gpus = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return {
        **library_versions(),
        "turpentine": turpentine.__version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}, {counted(torch.get_num_threads(), 'thread')}",
        "devices": ", ".join(["cpu", *(f"cuda:{index} ({name})" for index, name in enumerate(gpus))]),
    }


def _as_json(model: Model, site: Site) -> dict[str, Any]:
    return {
        "label": site.label,
        "kind": site.kind,
        "level": site.level,
        "resolution": site.resolution,
        "weights": _weights(model, site),
        "name": site.name,
    }


def _weights(model: Model, site: Site) -> int:
    weights = (model.parameter(name) for name in site.parameters)
    return sum(each[slice(*(site.rows or (None, None)))].numel() for each in weights)


def _show_model(model: Model, sites: Sites) -> None:
    say()
    facts = _facts(model)
    facts["sites"] = ", ".join(f"{count} {kind}" for kind, count in facts["sites"].items())
    present = {key: value for key, value in facts.items() if value is not None}
    table = {key: f"{value:,}" if isinstance(value, int) else plain(value) for key, value in present.items()}
    show_table(("", ""), table.items())
    say()
    rows = [(site.label, site.kind, site.resolution or "", f"{_weights(model, site):,}", site.name) for site in sites]
    show_table(("label", "kind", "px", "weights", "name"), rows)
    say(f"\n{counted(len(sites), 'site')}; px is the height in latent pixels.")
