"""The common part of `erase` and `amplify`: run a method for concepts, then measure, print and report the change."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast, get_args

from cyclopts import Group, Parameter

from turpentine.cli.checks import announce, check_folder, check_guidance_scale, check_words
from turpentine.cli.edit_summary import as_json, show_edit, show_outcome
from turpentine.cli.flags import flags_of, option_in, with_flags
from turpentine.cli.help_text import with_help
from turpentine.cli.options import NO_JUDGE, OUTPUT, ModelChoice, check_judge_flag, parse_seeds, warn_of_unknown_words
from turpentine.cli.progress_bars import Phases, busy
from turpentine.cli.terminal import say_json, warn
from turpentine.cli.usage_errors import SETTINGS
from turpentine.cli.work_options import WorkChoice, exit_code, named_settings
from turpentine.concepts import Concept, Kind
from turpentine.core.errors import BadArgument, EmptyConcept
from turpentine.core.plugins import find
from turpentine.core.safe_text import safe_name
from turpentine.erase.best import best_for
from turpentine.erase.recipes import recipe_for

if TYPE_CHECKING:
    from turpentine.bench import Erasure, ErasureResult
    from turpentine.bench.metrics import Goal
    from turpentine.edits import Change
    from turpentine.judges import Judge
    from turpentine.models import Model

RunFlags = Parameter(name="*", group=Group("Measuring", sort_key=2))
DOING = {"erase": "Erasing", "amplify": "Amplifying"}

RUNS, SHARED = Path("runs"), ".unedited"
"""The folder of all runs, and in it that of the unedited models' pictures, which they share."""


@with_help
@dataclass(frozen=True)
class RunChoice:
    """What is measured, and where it is written.

    Args:
        out: The folder for the edit, the results and the report; runs/CONCEPT-METHOD by default. Runs beside each other
            in runs/ share the unedited model's pictures.
        seeds: Seeds of the pictures for each prompt before and after, such as 0-7,9.
        guidance: How strongly a prompt guides its picture; 1 is without guidance, where a concept that always shows may
            not. By default what the model's family takes, 4 in the emoji world.
        by: Who judges the pictures, such as emoji, classifier or "classifier: {model: FOLDER}"; may be given several
            times. clip tells the concept from its neighbours; none is nobody. By default the emoji world's judge for
            its own models, and clip for others if its weights are here.
        clip_model: The CLIP model that clip, or another judge of --by, asks, a folder or hub id; by default the one
            that suits the model.
        measure: Another number to count, such as "fid of features"; may be given several times.
        references: A folder of real pictures for measures such as "fid of features to references".
        kind: What sort of thing it is; what the emoji world says, or object, by default.
        keep: Another concept to measure as one that must not change; may be given several times.
        details: Print the numbers of each group of prompts and of each label, too.
        no_measure: Make the edit only: no pictures, no report. The same command without this goes on from the edit.
        force: Put this run in the place of another one in the folder, and take words that the model does not know.
    """

    out: Annotated[Path | None, Parameter(group=OUTPUT)] = None
    seeds: str = "0-7"
    guidance: float | None = None
    by: Annotated[tuple[str, ...], Parameter(show_default=False)] = ()
    clip_model: str | None = None
    measure: Annotated[tuple[str, ...], Parameter(show_default=False)] = ()
    references: Annotated[Path | None, Parameter(show_default=False)] = None
    kind: Kind | None = None
    keep: Annotated[tuple[str, ...], Parameter(show_default=False)] = ()
    details: Annotated[bool, Parameter(negative=(), show_default=False, group=OUTPUT)] = False
    no_measure: Annotated[bool, Parameter(negative=(), show_default=False)] = False
    force: Annotated[bool, Parameter(negative=(), show_default=False, group=OUTPUT)] = False


def run_command(
    goal: Goal,
    concepts: Sequence[str],
    method: str | None,
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
        method: Name of the method; None for the one chosen for the kind of concept.
        choice: What is measured, and where it is written.
        work: Who does the work.
        source: The model.
        settings: Flags of the method's settings; None for its defaults.
        line: The command line, for the report.
        json: Print one JSON document.

    Raises:
        EmptyConcept: There is no concept.
        BadArgument: A setting is of another method than the one that is chosen.
    """
    if not concepts:
        raise EmptyConcept(f"There is no concept to {goal}: name one, such as turpentine {goal} church.")
    from turpentine.tasks.erasure_cases import concepts_of

    named = concepts_of([_concept(text, choice.kind, choice.keep) for text in concepts])
    name, default, why = _method_for(goal, method, source.model, named[0])
    chosen = _with_settings_of(name, default, settings) if settings else default
    if method == "esd" and (chosen.sites, chosen.sites_from) != (default.sites, default.sites_from):
        why = ""
    folder = choice.out or RUNS / safe_name("-".join([*concepts, name]))
    _check(choice, source, [*concepts, *choice.keep], folder)
    job = _EditJob(goal, source, chosen, named, folder, choice, work)
    if choice.no_measure:
        show_edit(*job.edit(), source.model, why, json=json)
        return 0
    result = job.run()
    with busy("Writing the report"):
        from turpentine.report import write_report

        write_report(result, command=line)
    if json:
        say_json({**as_json(result), "why": why})
    else:
        show_outcome(result, source.model, why, details=choice.details)
    return exit_code(result.errors.to_list(), len(result.rows))


def with_settings(command: Callable[..., int], tokens: Sequence[str]) -> Callable[..., int]:
    """Return the command with flags for the settings of the method, with the defaults for the model.

    Args:
        command: `erase` or `amplify`.
        tokens: What follows the command on the command line.
    """
    model = option_in(tokens, "--model", ModelChoice.model)
    is_help = bool({"--help", "-h"} & set(tokens))
    method = option_in(tokens, "--method", "") or None
    if method:
        find(method, command.__name__)
    if not is_help:  # how large a model in a folder is takes torch to say
        ModelChoice(model).check()
    name, chosen, _ = _method_for(cast("Goal", command.__name__), method, model, _concept_in(tokens))

    @wraps(command)
    def fitted(*args: Any, **kwargs: Any) -> int:
        return command(*args, line=shlex.join(["turpentine", command.__name__, *tokens]), **kwargs)

    group = Group(f"{SETTINGS}{name}", sort_key=1)
    flags = Parameter(name="*", group=group)
    # None is where no setting is given; cyclopts checks defaults too once anything has imported pydantic.
    fitted.__annotations__ = {**command.__annotations__, "settings": Annotated[flags_of(chosen) | None, flags]}
    return fitted


def _concept(text: str, kind: Kind | None, keep: tuple[str, ...] = ()) -> Concept:
    from turpentine.tasks.erasure_cases import named_concept

    return replace(Concept(text, kind) if kind else named_concept(text), keep=keep)


def _method_for(goal: Goal, method: str | None, model: str, concept: Concept) -> tuple[str, Any, str]:
    """Return a method's name, the method with its defaults for a model and a concept, and why they are these.

    Args:
        goal: Whether it erases or amplifies.
        method: Its name; None for the best one.
        model: As `turpentine.load` takes it.
        concept: What decides, the first one where there are several.
    """
    if method is None:
        best = best_for(model, [concept], goal)
        return best.name, best.method(model), f"The method is {best.name}: {best.reason}. Another one: --method."
    chosen = find(method, goal).defaults(model)
    recipe = recipe_for(model, concept.kind) if method == "esd" else None
    if recipe is None:
        return method, chosen, ""
    chosen = type(chosen).preset(model, **recipe.settings)
    return method, chosen, f"ESD trains the set {chosen.sites}, {recipe.source}. Another one: --sites."


def _concept_in(tokens: Sequence[str]) -> Concept:
    """Return the concept that a command line begins with, as far as it can be read unparsed."""
    kind = option_in(tokens, "--kind", "")
    text = next((token for token in tokens if token.strip() and not token.startswith("-")), "object")
    is_kind = kind in get_args(Kind)
    return _concept(text, cast(Kind, kind) if is_kind else None)


def _with_settings_of(name: str, method: Any, settings: Any) -> Any:
    """Return the method with the settings of its flags.

    Raises:
        BadArgument: The flags are another method's: the command line could not be read before it was parsed.
    """
    unknown = {field.name for field in fields(settings)} - {field.name for field in fields(method)}
    if unknown:
        raise BadArgument(f"Say which method the settings are of, such as --method {name}.")
    if [field.default for field in fields(settings)] != [field.default for field in fields(flags_of(method))]:
        raise BadArgument("Name the concept before the flags, or give its --kind: the settings that it has hang on it.")
    return with_flags(method, settings)


def _check(choice: RunChoice, source: ModelChoice, texts: Sequence[str], folder: Path) -> None:
    """Check what can be checked before torch is imported; what else is wrong is seen when the model is there."""
    from turpentine.bench.metrics import Measure, check_references
    from turpentine.runs.references import reference_files

    parse_seeds(choice.seeds)
    check_guidance_scale(choice.guidance, "--guidance")
    check_references([Measure.parse(text) for text in choice.measure], given=choice.references is not None)
    if choice.references is not None:
        reference_files(choice.references)
    for text in choice.by:
        check_judge_flag(text)
    source.check()
    check_words(texts, source.model, force=choice.force)
    check_folder(folder)


@dataclass(frozen=True)
class _EditJob:
    """What `erase` and `amplify` do: a method's edit, measured or not."""

    goal: Goal
    source: ModelChoice
    method: Any
    concepts: Sequence[Concept]
    folder: Path
    choice: RunChoice
    work: WorkChoice

    def edit(self) -> tuple[Change, Path]:
        """Make the edit only."""
        from turpentine.bench import make_edit

        model, erasure = self._model_and_erasure()
        how: dict[str, Any] = {"threads": self.work.threads, "force": self.choice.force}
        with Phases({"erase": (DOING[self.goal], "rows")}) as progress:
            return make_edit(model, erasure, self.folder, **how, progress=progress)

    def run(self) -> ErasureResult:
        """Make the edit and measure it."""
        from turpentine.bench import run_erasure

        model, erasure = self._model_and_erasure()
        phases = {
            "references": ("Looking at the references", "pictures"),
            "erase": (DOING[self.goal], "rows"),
            "before": ("Drawing before", "pictures"),
            "after": ("Drawing after", "pictures"),
        }
        how: dict[str, Any] = {**asdict(self.work), "force": self.choice.force}
        # A folder elsewhere gets no neighbour that nobody named.
        shared = RUNS / SHARED if self.folder.parent == RUNS else None
        with Phases(phases) as progress:
            result = run_erasure(model, erasure, self.folder, **how, shared=shared, progress=progress)
        if not erasure.judges and not self.choice.by:
            warn(_no_judge(self.concepts))
        return result

    def _model_and_erasure(self) -> tuple[Model, Erasure]:
        from turpentine.bench import Erasure, Protocol
        from turpentine.bench.metrics import Measure

        measures = [Measure.parse(text) for text in self.choice.measure]
        model = self.source.load()
        seeds = tuple(parse_seeds(self.choice.seeds))
        protocol = Protocol.of(model, seeds=seeds, guidance_scale=self.choice.guidance)
        warn_of_unknown_words(model, [text for concept in self.concepts for text in (concept.text, *concept.keep)])
        judges = _judges(self.choice.by, model, self.concepts, self.choice.clip_model)
        how: dict[str, Any] = {"measures": measures, "goal": self.goal, "references": self.choice.references}
        return model, Erasure(self.concepts, self.method, protocol, judges, **how)


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
    announce(judge)
    return judge
