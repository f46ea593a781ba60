"""The common part of `erase` and `amplify`: run a method for concepts, then measure, print and report the change."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import wraps
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Group, Parameter

from turpentine.cli.edit_summary import as_json, show_outcome
from turpentine.cli.flags import flags_of, with_flags
from turpentine.cli.help_text import with_help
from turpentine.cli.options import NO_JUDGE, ModelChoice, parse_seeds, warn_of_unknown_words
from turpentine.cli.progress_bars import Phases, busy
from turpentine.cli.terminal import say_json, warn
from turpentine.cli.work_options import WorkChoice, exit_code, named_settings
from turpentine.concepts import Concept, Kind
from turpentine.core.errors import BadArgument, EmptyConcept
from turpentine.core.plugins import find
from turpentine.core.safe_text import safe_name

if TYPE_CHECKING:
    from turpentine.bench import ErasureResult
    from turpentine.bench.metrics import Goal
    from turpentine.judges import Judge
    from turpentine.models import Model

DOING = {"erase": "Erasing", "amplify": "Amplifying"}


@with_help
@dataclass(frozen=True)
class RunChoice:
    """What is measured, and where it is written.

    Args:
        out: The folder for the edit, the results and the report; runs/CONCEPT-METHOD by default.
        seeds: Of the pictures for each prompt before and after, such as 0-7,9.
        by: Who judges the pictures, such as emoji, classifier or "classifier: {model: FOLDER}"; may be given several
            times. clip tells the concept from its neighbours; none is nobody. By default the emoji world's judge for
            its own models, and clip for others if its weights are here.
        clip_model: The CLIP model that clip, or another judge of --by, asks, a folder or hub id; by default the one
            that suits the model.
        measure: Another number to count, such as "fid of features"; may be given several times.
        kind: What sort of thing it is; what the emoji world says, or object, by default.
        keep: Another concept to measure as one that must not change; may be given several times.
        force: Put this run in the place of another one in the folder.
    """

    out: Path | None = None
    seeds: str = "0-7"
    by: Annotated[tuple[str, ...], Parameter(show_default=False)] = ()
    clip_model: str | None = None
    measure: Annotated[tuple[str, ...], Parameter(show_default=False)] = ()
    kind: Kind | None = None
    keep: Annotated[tuple[str, ...], Parameter(show_default=False)] = ()
    force: Annotated[bool, Parameter(negative=(), show_default=False)] = False


def run_command(
    goal: Goal,
    concepts: Sequence[str],
    method: str,
    choice: RunChoice,
    work: WorkChoice,
    source: ModelChoice,
    settings: Any,
    line: str,
    json: bool,
) -> int:
    """Run `erase` or `amplify`, print what changed, and return the exit code.

    Args:
        goal: Which of the two.
        concepts: In words.
        method: Name of the method.
        choice: What is measured, and where it is written.
        work: Who does the work.
        source: The model.
        settings: Flags of the method's settings; None for its defaults.
        line: The command line, for the report.
        json: Print one JSON document.

    Raises:
        EmptyConcept: There is no concept.
    """
    if not concepts:
        raise EmptyConcept(f"There is no concept to {goal}: name one, such as turpentine {goal} church.")
    texts = [_concept(text, choice) for text in concepts]
    chosen = find(method, goal).defaults(source.model)
    chosen = with_flags(chosen, settings) if settings else chosen
    folder = choice.out or Path("runs") / safe_name("-".join([*concepts, method]))
    result = _run(goal, source, chosen, texts, folder, choice, work)
    with busy("Writing the report"):
        from turpentine.report import write_report

        write_report(result, command=line)
    if json:
        say_json(as_json(result))
    else:
        show_outcome(result, source.model)
    return exit_code(result.errors.to_list(), len(result.rows))


def with_settings(command: Callable[..., int], default: str, tokens: Sequence[str]) -> Callable[..., int]:
    """Return the command with flags for the settings of the method, with the defaults for the model.

    Args:
        command: `erase` or `amplify`.
        default: Name of the method where the tokens give none.
        tokens: What follows the command on the command line.
    """
    name = _option(tokens, "--method", default)
    chosen = find(name, command.__name__).defaults(_option(tokens, "--model", ModelChoice.model))

    @wraps(command)
    def fitted(*args: Any, **kwargs: Any) -> int:
        return command(*args, line=shlex.join(["turpentine", command.__name__, *tokens]), **kwargs)

    group = Group(f"Settings of {name}", sort_key=1)
    flags = Parameter(name="*", group=group)
    # None is where no setting is given; cyclopts checks defaults too once anything has imported pydantic.
    fitted.__annotations__ = {**command.__annotations__, "settings": Annotated[flags_of(chosen) | None, flags]}
    return fitted


def _option(tokens: Sequence[str], name: str, default: str) -> str:
    """Return the value of an option before the command line is parsed, since its flags depend on it."""
    for token, following in pairwise([*tokens, default]):
        if token == name:
            return following
        if token.startswith(f"{name}="):
            return token.removeprefix(f"{name}=")
    return default


def _concept(text: str, choice: RunChoice) -> Concept:
    from turpentine.tasks.erasure_cases import named_concept

    concept = Concept(text, choice.kind) if choice.kind else named_concept(text)
    return replace(concept, keep=choice.keep)


def _run(
    goal: Goal,
    source: ModelChoice,
    method: Any,
    concepts: Sequence[Concept],
    folder: Path,
    choice: RunChoice,
    work: WorkChoice,
) -> ErasureResult:
    from turpentine.bench import Protocol, run_erasure
    from turpentine.bench.metrics import Measure

    protocol = Protocol(seeds=tuple(parse_seeds(choice.seeds)))
    measures = [Measure.parse(text) for text in choice.measure]
    model = source.load()
    warn_of_unknown_words(model, [concept.text for concept in concepts])
    phases = {
        "erase": (DOING[goal], "rows"),
        "before": ("Drawing before", "pictures"),
        "after": ("Drawing after", "pictures"),
    }
    judges = _judges(choice.by, model, concepts, choice.clip_model)
    with Phases(phases) as progress:
        result = run_erasure(
            model,
            method,
            concepts,
            folder,
            protocol=protocol,
            judges=judges,
            measures=measures,
            goal=goal,
            force=choice.force,
            progress=progress,
            **asdict(work),
        )
    if not judges and not choice.by:
        warn(_no_judge(concepts))
    return result


def _no_judge(concepts: Sequence[Concept]) -> str:
    from turpentine.bench.erasure_judges import zero_shot_judge

    download = zero_shot_judge(concepts).download
    return f"Nobody judged these pictures, so there are no rates: CLIP can, and --by clip fetches {download}."


def _judges(by: Sequence[str], model: Model, concepts: Sequence[Concept], clip_model: str | None = None) -> list[Judge]:
    """Make the judges of `--by`, or the default one; say what is fetched for them, or that nobody judges."""
    from turpentine.bench.erasure_judges import default_judge

    if by:
        return [_judge(*named_settings(text), model, concepts, clip_model) for text in by if text != NO_JUDGE]
    if clip_model is not None:
        raise BadArgument(f"No judge asks {clip_model}: name one that does, such as --by clip.")
    judge = default_judge(model, concepts)
    return [judge] if judge else []


def _judge(
    name: str, settings: Mapping[str, Any], model: Model, concepts: Sequence[Concept], clip_model: str | None
) -> Judge:
    """Make one judge; "clip" is the one that tells the concepts from their neighbours."""
    from turpentine import judges
    from turpentine.bench.erasure_judges import zero_shot_judge
    from turpentine.judges.worlds import world_of_model

    world = world_of_model(model)
    suiting = judges.settings_for(name, world or model.name, settings, clip_model=clip_model)
    if name == "clip":
        own = {"model": world} if world else {}
        judge: Judge = zero_shot_judge(concepts, **{**own, **suiting})
    else:
        judge = judges.judge(name, **suiting)
    if judge.download:
        warn(f"The judge {name} needs to fetch {judge.download}")
    return judge
