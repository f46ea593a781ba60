"""Flags that several commands share, and how their values are read."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Group, Parameter
from cyclopts.types import PositiveInt

from turpentine.cli.checks import announce, check_device, check_judge, no_device
from turpentine.cli.fetching import agree_to_fetch
from turpentine.cli.help_text import with_help, written_as
from turpentine.cli.progress_bars import busy
from turpentine.cli.terminal import plain, warn
from turpentine.cli.work_options import named_settings
from turpentine.core.errors import BadArgument
from turpentine.core.seeds import parse_seeds as parse_seeds  # of the flag `--seeds`
from turpentine.edits.places import check_readable

if TYPE_CHECKING:
    from turpentine.concepts import Concept
    from turpentine.judges import Judge
    from turpentine.models import Model

OUTPUT = Group("Output", sort_key=9)
_SEEDS = "Seeds of the pictures: numbers and ranges, such as 0-7,9."
_ROWS = "Rows of the denoiser in one call, at most; by default 256, or fewer where the free memory is short."
_JSON = "Print one JSON document, also of an error."

Seeds = Annotated[str, Parameter(metavar="SEEDS", help=_SEEDS)]
_AT_ONCE = "Pictures drawn at once; fewer take less memory."
AtOnce = Annotated[PositiveInt, Parameter.combine(written_as(int), Parameter(help=_AT_ONCE))]
Rows = Annotated[PositiveInt | None, Parameter.combine(written_as(int), Parameter(help=_ROWS))]
Json = Annotated[bool, Parameter(name="--json", negative=(), show_default=False, help=_JSON, group=OUTPUT)]
_FORCE = "Take words that the model does not know."
Force = Annotated[bool, Parameter(negative=(), show_default=False, help=_FORCE, group=OUTPUT)]
_DETAILS = "Print more rows of the table."
Details = Annotated[bool, Parameter(negative=(), show_default=False, help=_DETAILS, group=OUTPUT)]
REQUIRED = Parameter(required=True)
Flat = Parameter(name="*")
ModelFlags = Parameter(name="*", group=Group("Model", sort_key=8))
DrawingFlags = Parameter(name="*", group=Group("Drawing", sort_key=2))
ClipModel = Annotated[
    str | None,
    Parameter(
        metavar="TEXT",
        help="The CLIP model that the judge asks, a folder or hub id; by default the one that suits the model.",
    ),
]

NO_JUDGE = "none"


@with_help
@dataclass(frozen=True)
class ModelChoice:
    """Which model, and where it runs.

    Args:
        model: "emoji" (the embedded one; "emoji-64" and "emoji-mmdit" ship too), a diffusers folder, a .safetensors
            file, or a hub id.
        device: "cpu", "cuda" or "cuda:1"; CUDA by default if there is one.
        dtype: Number format of the weights; fp16 by default on CUDA, fp32 elsewhere.
        config: For a .safetensors file: the diffusers folder or hub id with its family's configs and tokenizers.
        prediction: What the network predicts, where the files do not say it, or wrongly.
        zero_snr: Was it trained on a schedule that ends in pure noise? By default what the files say.
    """

    model: str = "emoji"
    device: str | None = None
    dtype: Literal["fp32", "fp16", "bf16"] | None = None
    config: str | None = None
    prediction: Literal["epsilon", "v_prediction"] | None = None
    zero_snr: bool | None = None

    def check(self) -> None:
        """Check, before torch is imported, that the model can be there and the device be one.

        Raises:
            BadArgument: No device is called so.
            ModelNotFound: The model is neither here nor to be had.
            UnsafeFile: It is a pickle.
        """
        from turpentine.models.loading.source import check_source

        check_device(self.device)
        check_source(self.model)

    def load(self) -> Model:
        """Load the model, once somebody at a terminal has agreed to what must be fetched for that."""
        from turpentine.models.loading.hub import to_fetch

        self.check()
        fetched = to_fetch(self.model)
        if fetched:
            agree_to_fetch(f"The model {self.model}", fetched)
        with busy(f"Loading {plain(self.model)}"):
            from turpentine.models import load

            return load(
                self.model,
                device=_device(self.device),
                dtype=self.dtype,
                config=self.config,
                prediction=self.prediction,
                zero_snr=self.zero_snr,
            )


@with_help
@dataclass(frozen=True)
class Drawing:
    """How an instrument draws.

    Args:
        steps: Steps of the solver for a picture; by default as many as the model's family takes, 20 in the emoji world.
        guidance_scale: How strongly the prompt guides; by default what the model's family takes, 4 in the emoji world.
    """

    steps: PositiveInt | None = None
    guidance_scale: float | None = None


def _device(name: str | None) -> str | None:
    """Check a device's name before a large model is read for it."""
    import torch

    if name is None:
        return None
    try:
        torch.empty(1, device=name)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise no_device(name) from error
    return name


def check_judge_flag(by: str | None) -> None:
    """Check the value of `--by` before torch is imported.

    Raises:
        UnknownName: No judge is called so.
    """
    if by is not None and by not in (NO_JUDGE, ""):
        check_judge(named_settings(by)[0])


def judge_called(name: str, model: str, clip_model: str | None = None) -> Judge:
    """Make a judge, once somebody at a terminal has agreed to what must be fetched for it.

    Args:
        name: The judge's name, or its name with settings: "classifier: {model: FOLDER}".
        model: Name of the model whose pictures it judges.
        clip_model: The CLIP model that it is to ask, by `--clip-model`.
    """
    from turpentine import judges

    name, settings = named_settings(name)
    check_judge(name)
    judge = judges.judge(name, **judges.settings_for(name, model, settings, clip_model=clip_model))
    announce(judge)
    return judge


def judge_of(by: str | None, model: str, clip_model: str | None = None) -> Judge | None:
    """Return the judge of a model's pictures, or none.

    Args:
        by: The value of `--by`; None is the emoji world's judge for the models that ship, and none for others.
        model: Name of the model.
        clip_model: The value of `--clip-model`.
    """
    from turpentine.emoji import WORLD
    from turpentine.models.loading.source import ships

    name = (WORLD if ships(model) else NO_JUDGE) if by is None else by
    if name in (NO_JUDGE, ""):
        return None
    return judge_called(name, model, clip_model)


def needed_judge(by: str | None, model: str, clip_model: str | None = None) -> Judge:
    """Return the judge of a model's pictures; see `judge_of`.

    Raises:
        BadArgument: There is none.
    """
    judge = judge_of(by, model, clip_model)
    if judge is None:
        raise BadArgument("There is no judge, and one is needed: name it, such as --by emoji or --by clip.")
    return judge


def judge_of_concept(by: str | None, model: Model, concept: Concept) -> Judge:
    """Return who says whether a concept is in a model's pictures.

    Args:
        by: The value of `--by`; by default the emoji world's judge for its own models, and clip for others if its
            weights are here. clip tells the concept from its neighbours.
        model: The model.
        concept: What is looked for.

    Raises:
        BadArgument: There is none, or it does not know the concept or the model's world.
    """
    from turpentine.attack.harness import concept_judge
    from turpentine.bench.erasure_judges import default_judge, zero_shot_judge
    from turpentine.judges.worlds import check_judge_of

    judge: Judge | None = None
    if by is None:
        judge = default_judge(model, [concept])
    elif by == "clip":
        judge = zero_shot_judge([concept])
        announce(judge)
    elif by not in (NO_JUDGE, ""):
        judge = judge_called(by, model.name)
    if judge is None:
        raise BadArgument("There is no judge, and one is needed: name it, such as --by clip.")
    check_judge_of(model, judge)
    concept_judge(judge, concept)
    return judge


def parse_edit(text: str) -> tuple[Path, float]:
    """Read `FILE` or `FILE:SCALE`.

    Example:
        >>> parse_edit("church.safetensors:0.5")
        (PosixPath('church.safetensors'), 0.5)

    Raises:
        BadArgument: The scale is no number.
    """
    path, colon, scale = text.rpartition(":")
    if not colon or Path(text).exists():
        return Path(text), 1.0
    try:
        number = float(scale)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise BadArgument(f"{text!r} is no edit's file, nor is {scale!r} a scale: give FILE or FILE:0.5.")
    return Path(path), number


def parse_edits(texts: Sequence[str]) -> list[tuple[Path, float]]:
    """Read edits as `parse_edit` does, and check, before torch is imported, that there is a file at each place.

    Raises:
        BadArgument: A scale is no number.
        EditError: There is none.
        UnsafeFile: It is a pickle.
    """
    changes = [parse_edit(text) for text in texts]
    for path, _ in changes:
        check_readable(path)
    return changes


def edited_model(source: ModelChoice, changes: Sequence[tuple[Path, float]]) -> Model:
    """Load a model with the edits and guidances of `parse_edits` on it, scaled, in their order."""
    from turpentine.edits.files import check_change, read_change

    for path, _ in changes:
        check_change(path)
    model = source.load()
    for change in [read_change(path, model).scaled(scale) for path, scale in changes]:
        change.apply(model)
    return model


def warn_of_unknown_words(model: Model, texts: Sequence[str]) -> None:
    """Warn of words that the model does not know: what it draws of them is chance."""
    from turpentine.judges.worlds import unknown_words

    words = dict.fromkeys(word for text in texts for word in unknown_words(model, text))
    if words:
        listed = ", ".join(repr(word) for word in words)
        does = "is a word" if len(words) == 1 else "are words"
        warn(f"{listed} {does} that the model does not know: what it draws for it is chance.")
