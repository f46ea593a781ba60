"""`turpentine generate`: draws pictures of prompts as files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter
from cyclopts.types import PositiveInt

from turpentine.cli.checks import check_folder, check_guidance_scale
from turpentine.cli.contact_sheet import SHEET, Row, contact_sheet
from turpentine.cli.flags import option_in
from turpentine.cli.help_text import with_help
from turpentine.cli.options import (
    REQUIRED,
    AtOnce,
    DrawingFlags,
    Json,
    ModelChoice,
    ModelFlags,
    Seeds,
    edited_model,
    parse_edits,
    parse_seeds,
    warn_of_unknown_words,
)
from turpentine.cli.picture_files import PictureFile, differences, planned
from turpentine.cli.progress_bars import progress_bar
from turpentine.cli.terminal import plain, say, say_json, warn
from turpentine.core.errors import BadArgument, EditError
from turpentine.models.solvers import Solver

if TYPE_CHECKING:
    from PIL import Image

    from turpentine.models import Model


@with_help
@dataclass(frozen=True)
class Sampling:
    """How to draw; see `Model.generate`.

    Args:
        steps: Steps of the solver for a picture; more take longer. By default what the model's family takes, 20 in the
            emoji world.
        guidance_scale: How strongly the prompt guides; 1 is without guidance. By default what the model's family takes,
            4 in the emoji world.
        negative_prompt: What to lead away from.
        solver: How the noise is taken away; ddpm adds fresh noise at each step.
        size: Pixels a side of a picture; the model's own by default.
    """

    steps: PositiveInt | None = None
    guidance_scale: float | None = None
    negative_prompt: str = ""
    solver: Solver = "ddim"
    size: PositiveInt | None = None

    def settings(self, model: Model) -> dict[str, Any]:
        """Return the arguments of `Model.generate`, with the model's own steps and guidance where none are given."""
        from turpentine.models import steps_and_guidance

        steps, guidance_scale = steps_and_guidance(model, self.steps, self.guidance_scale)
        return {**vars(self), "steps": steps, "guidance_scale": guidance_scale}


def generate(
    *prompts: Annotated[str, REQUIRED],
    seeds: Seeds = "0",
    out: Path = Path("pictures"),
    edit: Annotated[tuple[str, ...], Parameter(metavar="FILE[:SCALE]", show_default=False)] = (),
    artefact: Path | None = None,
    sampling: Annotated[Sampling, DrawingFlags] = Sampling(),
    batch_size: AtOnce = 8,
    source: Annotated[ModelChoice, ModelFlags] = ModelChoice(),
    json: Json = False,
) -> None:
    """Draw pictures of prompts as PNG files, and a contact sheet of them.

    Each file holds its own recipe; a run that was broken off draws only what is missing, and a picture that was made
    otherwise is never replaced: the new one gets a name beside it.

    Args:
        prompts: What to draw; every prompt is drawn with every seed.
        seeds: Numbers and ranges, such as 0-7,9.
        out: The folder to write to.
        edit: What to put on the model, and its scale, 1 by default: the file of an edit or a guidance, the folder of a
            run of turpentine erase, or what others publish of the same model, such as a LoRA; may be given several
            times.
        artefact: What an attack found: a learned word, given tokens, or latents, and the prompts to draw where none is
            given.
        sampling: How to draw.
        batch_size: Pictures drawn at once.
        source: Which model, and where it runs.
        json: Print one JSON document, also of an error.

    Raises:
        BadArgument: There is no prompt.
        EditError: The artefact cannot be read, or does not fit the model.

    Example:
        turpentine generate "a church in ink style" --seeds 0-3
    """
    if not prompts and artefact is None:
        raise BadArgument('There is no prompt: say what to draw, such as turpentine generate "a church".')
    numbers = parse_seeds(seeds)
    check_guidance_scale(sampling.guidance_scale)
    changes = parse_edits(edit)
    if artefact is not None and not artefact.is_file():
        raise EditError(f"There is no artefact at {plain(str(artefact))}: check the path.")
    check_folder(out)
    source.check()
    from turpentine.models.identity import describe

    model, texts, settings = _model_and_texts(source, changes, artefact, prompts, sampling)
    model.latent_shape(size=sampling.size)  # before it is said where pictures of a size that cannot be would go
    pictures = planned(texts, numbers, out, {**settings, "model": describe(model)})
    sheet = PictureFile(out / SHEET, "", 0, {"pictures": [(each.path.name, each.recipe) for each in pictures]})
    missing = [each for each in (sheet, *pictures) if not each.is_complete()]
    _warn_of_others(pictures)
    _draw(model, [each for each in missing if each is not sheet], settings, batch_size)
    if sheet in missing:
        sheet.write(_contact_sheet(pictures))
    _print_files(pictures, sheet.path, json)


def with_artefact(command: Callable[..., None], tokens: Sequence[str]) -> Callable[..., None]:
    """Return the command with prompts that may be left out where an artefact has some.

    Args:
        command: `generate`.
        tokens: What follows the command on the command line.
    """
    if not option_in(tokens, "--artefact", ""):
        return command

    @wraps(command)
    def fitted(*prompts: str, **kwargs: Any) -> None:
        command(*prompts, **kwargs)

    fitted.__annotations__ = {**command.__annotations__, "prompts": str}
    return fitted


def _model_and_texts(
    source: ModelChoice,
    changes: Sequence[tuple[Path, float]],
    artefact: Path | None,
    prompts: Sequence[str],
    sampling: Sampling,
) -> tuple[Model, list[str], dict[str, Any]]:
    """Return the model with all that is put on it, each prompt once or the artefact's own, and how to draw."""
    from turpentine.models import Artefact

    revived = Artefact.load(artefact) if artefact is not None else None
    texts = list(dict.fromkeys(prompts or (revived.prompts if revived else ())))
    model = edited_model(source, changes)
    settings = sampling.settings(model)
    if revived is not None:
        revived.apply(model)
        revived.check_steps(settings["steps"])
    else:
        warn_of_unknown_words(model, texts)
    return model, texts, settings


def _draw(model: Model, missing: Sequence[PictureFile], settings: dict[str, Any], batch_size: int) -> None:
    """Draw and write a batch at a time, so that an interruption loses one batch at most."""
    steps = settings["steps"]
    with progress_bar("Drawing") as progress:
        for first in range(0, len(missing), batch_size):
            batch = missing[first : first + batch_size]

            def shifted(done: int, _: int, first: int = first) -> None:
                progress(first * steps + done, len(missing) * steps)

            images = model.generate(
                [picture.prompt for picture in batch],
                seeds=[picture.seed for picture in batch],
                batch_size=batch_size,
                progress=shifted,
                **settings,
            )
            for picture, image in zip(batch, images, strict=True):
                picture.write(image)


def _warn_of_others(pictures: Sequence[PictureFile]) -> None:
    """Say which files are there already, with pictures that were made otherwise, and where the new ones go."""
    beside = [picture for picture in pictures if picture.beside]
    if beside:
        first = beside[0]
        others = f"; so are {len(beside) - 1} others" if len(beside) > 1 else ""
        warn(
            f"{first.beside} was made with another {' and '.join(differences(first)) or 'recipe'} and stays: "
            f"this one is {first.path.name}{others}."
        )


def _contact_sheet(pictures: Sequence[PictureFile]) -> Image.Image:
    return contact_sheet(
        [
            Row(prompt, [(f"seed {picture.seed}", picture.read()) for picture in group])
            for prompt, group in groupby(pictures, key=lambda picture: picture.prompt)
        ]
    )


def _print_files(pictures: Sequence[PictureFile], sheet: Path, json: bool) -> None:
    if json:
        entries = [{"path": str(each.path), "prompt": each.prompt, "seed": each.seed} for each in pictures]
        say_json({"pictures": entries, "sheet": str(sheet)})
        return
    for path in [*(picture.path for picture in pictures), sheet]:
        say(plain(str(path)))
