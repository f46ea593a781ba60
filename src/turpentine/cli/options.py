"""Flags that several commands share, and how their values are read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter
from cyclopts.types import PositiveInt

from turpentine.cli.help_text import with_help
from turpentine.cli.progress_bars import busy
from turpentine.cli.terminal import plain, warn
from turpentine.core.errors import BadArgument
from turpentine.core.seeds import parse_seeds as parse_seeds  # of the flag `--seeds`

if TYPE_CHECKING:
    from turpentine.judges import Judge
    from turpentine.models import Model

Seeds = Annotated[str, Parameter(help="Numbers and ranges, such as 0-7,9.")]
AtOnce = Annotated[PositiveInt, Parameter(help="Pictures drawn at once.")]
Rows = Annotated[PositiveInt, Parameter(help="Of the denoiser in one call, at most; fewer take less memory.")]
Json = Annotated[bool, Parameter(name="--json", negative=(), show_default=False, help="Print one JSON document.")]
Flat = Parameter(name="*")
ClipModel = Annotated[
    str | None,
    Parameter(help="The CLIP model that the judge asks, a folder or hub id; by default the one that suits the model."),
]

NO_JUDGE = "none"


@with_help
@dataclass(frozen=True)
class ModelChoice:
    """Which model, and where it runs.

    Args:
        model: "emoji" (the embedded one), a diffusers folder, a .safetensors file, or a hub id.
        device: "cpu", "cuda" or "cuda:1"; CUDA by default if there is one.
        dtype: Number format of the weights; fp16 by default on CUDA, fp32 elsewhere.
        config: Of a .safetensors file, the diffusers folder or hub id with its family's configs and tokenizers.
        prediction: What the network predicts, where the files do not say it, or wrongly.
        zero_snr: Was it trained on a schedule that ends in pure noise? By default what the files say.
    """

    model: str = "emoji"
    device: str | None = None
    dtype: Literal["fp32", "fp16", "bf16"] | None = None
    config: str | None = None
    prediction: Literal["epsilon", "v_prediction"] | None = None
    zero_snr: bool | None = None

    def load(self) -> Model:
        """Load the model, after a warning of what must be fetched for that."""
        from turpentine.models.loading.hub import to_fetch

        fetched = to_fetch(self.model)
        if fetched:
            warn(f"The model {plain(self.model)} needs {plain(fetched)}: it is fetched now.")
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
        steps: Of the solver.
        guidance_scale: How strongly the prompt guides.
    """

    steps: PositiveInt = 20
    guidance_scale: float = 4.0


def check_folder(folder: Path) -> None:
    """Check that files can be written in a folder, before long work is done for them; nothing is left there.

    Raises:
        BadArgument: It is a file, lies inside of one, or cannot be written to.
    """
    nearest = next(each for each in (folder, *folder.absolute().parents) if each.exists())
    if not nearest.is_dir():
        raise BadArgument(f"{plain(str(nearest))} is a file: choose another folder with --out.")
    try:
        with TemporaryFile(dir=nearest):
            pass
    except OSError as error:
        raise BadArgument(
            f"Nothing can be written to {plain(str(folder))}: choose another folder with --out."
        ) from error


def _device(name: str | None) -> str | None:
    """Check a device's name before a large model is read for it."""
    import torch

    if name is None:
        return None
    try:
        torch.empty(1, device=name)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise BadArgument(f"There is no device {name!r} here: leave out --device, or give cpu.") from error
    return name


def judge_called(name: str, model: str, clip_model: str | None = None) -> Judge:
    """Make a judge, after a warning of what must be fetched for it.

    Args:
        name: Of the judge.
        model: Name of the model whose pictures it judges.
        clip_model: The CLIP model that it is to ask, by `--clip-model`.
    """
    from turpentine import judges

    judge = judges.judge(name, **judges.settings_for(name, model, clip_model=clip_model))
    if judge.download:
        warn(f"The judge {name} needs to fetch {judge.download}")
    return judge


def judge_of(by: str | None, model: str, clip_model: str | None = None) -> Judge | None:
    """Return the judge of a model's pictures, or none.

    Args:
        by: The value of `--by`; None is the emoji world's judge for the embedded model, and none for others.
        model: Name of the model.
        clip_model: The value of `--clip-model`.
    """
    name = ("emoji" if model == "emoji" else NO_JUDGE) if by is None else by
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


def check_judges(judges: Iterable[Judge], model: Model) -> None:
    """Refuse judges that know another world alone than the model draws.

    Raises:
        BadArgument: One does.
    """
    from turpentine.judges.worlds import check_world, title_of, world_of_judge, world_of_model

    for judge in judges:
        title = title_of(judge.name, judge.settings)
        check_world(title, world_of_judge(judge), world_of_model(model), f"the model {model.name}")


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
        return Path(path), float(scale)
    except ValueError:
        raise BadArgument(f"{text!r} is no edit's file, nor is {scale!r} a scale: give FILE or FILE:0.5.") from None


def edited_model(source: ModelChoice, texts: Sequence[str]) -> Model:
    """Load a model with the edits and guidances of `--edit` flags on it, scaled, in their order."""
    from turpentine.edits.files import check_change, read_change

    changes = [parse_edit(text) for text in texts]
    for path, _ in changes:
        check_change(path)
    model = source.load()
    for change in [read_change(path, model).scaled(scale) for path, scale in changes]:
        change.apply(model)
    return model


def warn_of_unknown_words(model: Model, texts: Sequence[str]) -> None:
    """Warn of words that the model does not know: what it draws of them is chance."""
    words = dict.fromkeys(word for text in texts for word in model.text.unknown_words(text))
    if words:
        listed = ", ".join(repr(word) for word in words)
        does = "is a word" if len(words) == 1 else "are words"
        warn(f"{listed} {does} that the model does not know: what it draws for it is chance.")
