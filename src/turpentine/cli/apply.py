"""`turpentine apply`: a model with edits baked in, or the edits in another form, for use elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts.types import PositiveInt

from turpentine.cli.options import REQUIRED, Json, ModelChoice, ModelFlags, parse_edits
from turpentine.cli.progress_bars import busy, progress_bar
from turpentine.cli.terminal import plain, say, say_json, say_prose, show_table
from turpentine.core.errors import BadArgument

if TYPE_CHECKING:
    from turpentine.edits import Edit, LoRA
    from turpentine.edits.formats.lora import Layout
    from turpentine.models import Model

Form = Literal["folder", "single-file", "weights", "lora", "kohya", "edit"]
_LORAS: dict[Form, Layout] = {"lora": "diffusers", "kohya": "kohya"}

_ENDING = ".safetensors"
_WORST = 5


def apply(
    *edits: Annotated[str, REQUIRED],
    out: Path,
    to: Form | None = None,
    rank: PositiveInt | None = None,
    source: Annotated[ModelChoice, ModelFlags] = ModelChoice(),
    json: Json = False,
) -> None:
    """Write a model with edits baked in, or the edits in another form, for use elsewhere.

    Edits are files of Turpentine's, or what others publish of the same model: ESD's and UCE's safetensors, a folder
    with an edited UNet, a LoRA.

    Args:
        edits: Files of edits, or folders of runs, applied in this order; FILE:0.5 applies one at half strength.
        out: The folder or file to write; nothing may be there yet. A file gets the ending .safetensors where it has
            none.
        to: "folder" (diffusers), "single-file" (a .safetensors in the original layout, for ComfyUI or A1111), "weights"
            (the denoiser's weights that change, in full, as ESD's and UCE's authors publish and load them), "lora"
            (for diffusers), "kohya" (the same under the names of ComfyUI and A1111), or "edit" (our own file, in which
            several become one); by default what the name of `out` suggests.
        rank: The LoRA's rank, at most; 16 by default. How much of the edits it leaves out is printed.
        source: The model that is edited.
        json: Print one JSON document, also of an error.

    Example:
        turpentine apply runs/church-uce/edit.safetensors --out no-church
    """
    form = _form(edits, to, out, rank)
    scales = parse_edits(edits)
    out = _with_ending(out, form)
    model, loaded, signed = _read(scales, source)
    if form == "edit":
        loaded = _merged(loaded)
    if form in _LORAS:
        lora_facts = _write_lora(model, loaded, out, 16 if rank is None else rank, _LORAS[form])
    else:
        with busy(f"Writing {plain(str(out))}"):
            _write(form, model, loaded, out)
        lora_facts = {}
    left_out = [] if form == "edit" and loaded[0].signature else signed
    if json:
        place = {"folder" if form == "folder" else "file": str(out)}
        say_json({**place, "edits": [edit.id for edit in loaded], "signatures_left_out": left_out, **lora_facts})
    else:
        _say(form, model, loaded, out, lora_facts)
        if left_out:
            say_prose(f"\nIt carries no signature: that of {' and '.join(left_out)} is of the edit itself, alone.")


def _with_ending(out: Path, form: Form) -> Path:
    """Return where to write, with the ending by which programs know such a file; nothing may be there.

    Raises:
        EditError: Something is.
    """
    from turpentine.models.saving import refuse_existing

    if form != "folder" and out.suffix != _ENDING:
        out = out.with_name(out.name + _ENDING)
    refuse_existing(out, allow_empty_folder=form == "folder")
    return out


def _form(edits: Sequence[str], to: Form | None, out: Path, rank: int | None) -> Form:
    """Return the form to write, checked before anything is loaded."""
    form: Form = to or ("single-file" if out.suffix == _ENDING else "folder")
    if not edits:
        raise BadArgument("There is no edit to apply: give the file of one at least.")
    if form not in _LORAS and rank is not None:
        raise BadArgument("Only a LoRA has a rank: give --to lora or kohya with it, or leave out --rank.")
    return form


def _read(scales: Sequence[tuple[Path, float]], source: ModelChoice) -> tuple[Model, list[Edit], list[str]]:
    """Return the model, the edits in order, and which of their files are signed."""
    from turpentine.edits import read_edit
    from turpentine.edits.files import check_change

    for path, _ in scales:
        check_change(path)
    model = source.load()
    with busy("Reading the edits"):
        read = [(path, read_edit(path, model), scale) for path, scale in scales]
    signed = [plain(str(path)) for path, edit, _ in read if edit.signature]
    return model, [edit.scaled(scale) for _, edit, scale in read], signed


def _merged(edits: Sequence[Edit]) -> list[Edit]:
    from turpentine.edits import Edit

    return [Edit.merge(edits)]


def _write(form: Form, model: Model, edits: Sequence[Edit], out: Path) -> None:
    from turpentine.edits import save_changed_weights, save_single_file

    for edit in edits:
        edit.apply(model)  # one that is only to be kept must fit the model, too
    if form == "edit":
        edits[0].save(out)
    elif form == "folder":
        model.save_pretrained(out)
    elif form == "weights":
        save_changed_weights(model, out)
    else:
        save_single_file(model, out)


def _write_lora(model: Model, edits: Sequence[Edit], out: Path, rank: int, layout: Layout) -> dict[str, Any]:
    from turpentine.edits import LoRA

    with progress_bar("Fitting the LoRA", "weights") as progress:
        lora = LoRA.from_edits(model, edits, rank=rank, progress=progress)
    lora.save(out, layout)
    return _facts(lora)


def _facts(lora: LoRA) -> dict[str, Any]:
    return {
        "rank": lora.rank,
        "residual": lora.residual,
        "residuals": dict(lora.residuals),
        "omitted": list(lora.omitted),
    }


def _say(form: Form, model: Model, edits: Sequence[Edit], out: Path, lora_facts: dict[str, Any]) -> None:
    place, several = plain(str(out)), "s" * (len(edits) > 1)
    if form == "edit":
        say(f"{place} holds {plain(repr(edits[0]))}.")
    elif form in _LORAS:
        say(f"{place} holds {len(edits)} edit{several} of {plain(model.name)} as a LoRA of rank {lora_facts['rank']}.")
        _say_residuals(lora_facts)
    elif form == "weights":
        by = f"{len(edits)} edits change" if several else "1 edit changes"
        say(f"{place} holds the weights of {plain(model.name)} that {by}, in full.")
    else:
        say(f"{place} holds {plain(model.name)} with {len(edits)} edit{several} baked in.")


def _say_residuals(lora_facts: dict[str, Any]) -> None:
    """Print how much of the change is not in the LoRA, and the layers that lose most."""
    say(f"\nIt leaves out {_share(lora_facts['residual'])} of the change, as a norm; the layers that lose most:\n")
    layers = {name: residual for name, residual in lora_facts["residuals"].items() if name not in lora_facts["omitted"]}
    worst = sorted(layers.items(), key=lambda item: -item[1])[:_WORST]
    show_table(("left out", "weight"), [(_share(residual), name) for name, residual in worst])
    if lora_facts["omitted"]:
        say(f"\nNo LoRA can hold {len(lora_facts['omitted'])} of the weights that change: biases, norms or embeddings.")


def _share(residual: float) -> str:
    return "less than 0.01 %" if residual < 1e-4 else f"{100 * residual:.3g} %"
