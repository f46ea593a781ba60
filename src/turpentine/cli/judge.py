"""`turpentine judge`: prints a judge's scores of pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from turpentine.cli.options import REQUIRED, Json, check_judge_flag, judge_called
from turpentine.cli.picture_files import picture_files, prompt_in
from turpentine.cli.terminal import number_cell, plain, say, say_json, show_table
from turpentine.cli.work_options import FAILED
from turpentine.core.errors import BadArgument
from turpentine.core.imaging import read_picture

if TYPE_CHECKING:
    from PIL import Image

    from turpentine.judges import Judge


@dataclass
class _Entry:
    """A picture's file.

    Attributes:
        path: Of the file.
        is_named: Whether it was given itself, and not its folder: then it must be a picture.
        inputs: What the judge needs, by argument; complete where there is no error.
        error: Why it cannot be judged.
    """

    path: Path
    is_named: bool
    inputs: dict[str, Any]
    error: str | None = None

    def read(self, argument: str, call: Callable[[], Any]) -> None:
        """Read something that the judge needs, or write down why that cannot be; see `check`."""
        self.check(lambda: self.inputs.update({argument: call()}))

    def check(self, call: Callable[[], None]) -> None:
        """Do what refuses a picture that cannot be judged, or write down why it does.

        Raises:
            BadArgument: It does, for a picture that was named itself.
        """
        if self.error is None:
            try:
                call()
            except BadArgument as error:
                if self.is_named:
                    raise
                self.error = str(error)


def judge(
    *pictures: Annotated[Path, REQUIRED],
    by: str = "emoji",
    prompt: str | None = None,
    reference: Path | None = None,
    clip_model: str | None = None,
    json: Json = False,
) -> int:
    """Say what a judge sees in pictures; that of the emoji world: object, style, background colour, and its certainty.

    A judge of the emoji world is not asked about other pictures: those are judged by the networks that papers take. It
    ends with 1 where a picture of a folder could not be judged; its row says why.

    Args:
        pictures: Files, or folders of them.
        by: The judge, such as emoji, classifier, nudenet or clip.
        prompt: What the pictures were asked for, where a judge needs to know; by default what is written in each file
            by turpentine generate.
        reference: A folder with pictures of the same names from the unedited model, where a judge needs them.
        clip_model: The CLIP model that clip asks, a folder or hub id; by default the emoji world's for its pictures,
            and openai/clip-vit-base-patch32 for others.
        json: Print one JSON document, also of an error.

    Example:
        turpentine judge pictures --by emoji
    """
    check_judge_flag(by)
    named = {path for path in pictures if not path.is_dir()}
    entries = [_Entry(path, path in named, {}) for path in picture_files(pictures)]
    for each in entries:
        each.read("images", lambda path=each.path: read_picture(path))  # type: ignore[misc]
    images = [each.inputs["images"] for each in entries if each.error is None]
    chosen = judge_called(by, _world_of(images), clip_model)
    for flag, given, need in (("--prompt", prompt, "prompt"), ("--reference", reference, "reference")):
        if given is not None and need not in chosen.needs:
            raise BadArgument(f"The judge {chosen.name} does not read {flag}: leave it out.")
    for each in entries:
        each.check(lambda each=each: _check_world(chosen, each))  # type: ignore[misc]
        _read_needed(each, chosen, prompt, reference)
    _print_scores(chosen, entries, _scores(chosen, entries), json)
    return FAILED if any(each.error for each in entries) else 0


def _world_of(images: Any) -> str:
    """Return the model whose pictures all of these may be, by name; "" for none of ours."""
    from turpentine.judges.worlds import world_of_image

    worlds = {world_of_image(image) for image in images}
    return worlds.pop() or "" if len(worlds) == 1 else ""


def _check_world(chosen: Judge, entry: _Entry) -> None:
    from turpentine.judges.worlds import check_world, title_of, world_of_image, world_of_judge

    image: Image.Image = entry.inputs["images"]
    what = f"the picture {entry.path.name} of {image.width} x {image.height} px"
    check_world(title_of(chosen.name, chosen.settings), world_of_judge(chosen), world_of_image(image), what)


def _read_needed(entry: _Entry, chosen: Judge, prompt: str | None, reference: Path | None) -> None:
    """Read the prompt and the reference of a picture, where the judge needs them."""
    if "prompt" in chosen.needs:
        entry.read("prompts", lambda: _prompt_of(entry.path) if prompt is None else prompt)
    if "reference" in chosen.needs:
        if reference is None:
            raise BadArgument("This judge compares: give the folder of the unedited model's pictures by --reference.")
        entry.read("references", lambda: read_picture(reference / entry.path.name))


def _prompt_of(path: Path) -> str:
    prompt = prompt_in(path)
    if prompt is None:
        raise BadArgument(f"{plain(str(path))} does not say what it was asked for: give it by --prompt.")
    return prompt


def _scores(chosen: Judge, entries: Sequence[_Entry]) -> list[dict[str, Any]]:
    """Return the scores of the pictures that can be judged, without bytes and vectors, which are for other numbers.

    Raises:
        BadArgument: No picture can be judged, or the judge gives nothing that can be shown.
    """
    import polars as pl

    whole = [each for each in entries if each.error is None]
    if not whole:
        raise BadArgument(entries[0].error or "")
    images, *needed = ([each.inputs[argument] for each in whole] for argument in whole[0].inputs)
    scores = chosen(images, **dict(zip(list(whole[0].inputs)[1:], needed, strict=True)))
    columns = [name for name, kind in scores.schema.items() if not (kind == pl.Binary or kind.is_nested())]
    if not columns:
        raise BadArgument(
            f"The judge {chosen.name} gives vectors alone, of which a bench makes distances such as FID: name another."
        )
    return scores.select(columns).to_dicts()


def _print_scores(chosen: Judge, entries: Sequence[_Entry], scores: list[dict[str, Any]], json: bool) -> None:
    from turpentine.judges.worlds import title_of

    by, rows = title_of(chosen.name, chosen.settings), iter(scores)
    empty = dict.fromkeys(scores[0])
    table: list[tuple[_Entry, Mapping[str, Any]]] = [
        (each, next(rows) if each.error is None else empty) for each in entries
    ]
    is_partial = any(each.error for each in entries)
    if json:
        errors = [{"error": each.error} if is_partial else {} for each in entries]
        rows_and_errors = zip(table, errors, strict=True)
        say_json([{"path": str(each.path), **row, **error, "judge": by} for (each, row), error in rows_and_errors])
        return
    say(f"Judged by {plain(by)}.\n")
    cells = [
        [plain(each.path.name), *map(number_cell, row.values()), *([plain(each.error or "")] if is_partial else [])]
        for each, row in table
    ]
    show_table(["picture", *empty, *(["error"] if is_partial else [])], cells)
