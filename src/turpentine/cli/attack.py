"""`turpentine attack`: every way back to an erased concept, beside controls, and a page of it."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import cached_property, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Group, Parameter
from cyclopts.types import PositiveInt, UInt32

from turpentine.cli.attack_output import numbers_of, print_attacks, print_battery
from turpentine.cli.attacked_edit import affordable_attacks, erased_concept
from turpentine.cli.checks import check_folder, check_guidance_scale, check_lists_alone, check_words
from turpentine.cli.flags import flags_of, option_in, with_flags
from turpentine.cli.help_text import with_help
from turpentine.cli.options import (
    OUTPUT,
    Json,
    ModelChoice,
    ModelFlags,
    check_judge_flag,
    judge_of_concept,
    warn_of_unknown_words,
)
from turpentine.cli.progress_bars import busy, progress_bar
from turpentine.cli.reference_choice import ReferenceChoice
from turpentine.cli.terminal import plain, say, say_json
from turpentine.cli.usage_errors import SETTINGS
from turpentine.core.errors import BadArgument, BrokenPlugin
from turpentine.core.formatting import counted, duration
from turpentine.core.plugins import find
from turpentine.core.safe_text import safe_name
from turpentine.edits.places import check_readable

if TYPE_CHECKING:
    from turpentine.attack import Attack, Budget, Trial, Victim
    from turpentine.attack.controls import Battery, Never
    from turpentine.attack.leak import Leak
    from turpentine.edits import Change
    from turpentine.models import Model

AttackFlags = Parameter(name="*", group=Group("Attacking", sort_key=2))
ATTACKED = Path("attacked")
PROMPTS = "prompt-list"
"""The attack that a file of prompts is for."""


@with_help
@dataclass(frozen=True)
class AttackChoice:
    """What is attacked, with what means.

    Args:
        against: What is attacked: the edit of the file, or the model without it.
        by: Who says whether a picture shows the concept, such as emoji or "classifier: {model: FOLDER}"; by default the
            emoji world's judge for its own models, and clip for others if its weights are here.
        pictures: New pictures of each artefact, by which success is counted.
        steps: Steps of the solver for a picture; by default what the model's family takes, 20 in the emoji world.
        guidance_scale: How strongly the prompt guides; by default what the model's family takes, 4 in the emoji world.
        max_forward: Most rows of the denoiser that each search may spend.
        max_backward: Most rows of the denoiser with gradients that each search may spend.
        max_text: Most prompts that each search may encode.
        max_judged: Most pictures that each search may show to the judge.
        seed: The seed of all chance; another one finds another way.
        out: The folder to write to; attacked/CONCEPT by default.
    """

    against: Literal["edit", "original"] = "edit"
    by: str | None = None
    pictures: PositiveInt = 20
    steps: PositiveInt | None = None
    guidance_scale: float | None = None
    max_forward: PositiveInt | None = None
    max_backward: PositiveInt | None = None
    max_text: PositiveInt | None = None
    max_judged: PositiveInt | None = None
    seed: UInt32 = 0
    out: Annotated[Path | None, Parameter(group=OUTPUT)] = None

    def trial(self, model: Model) -> Trial:
        """Return how pictures of a model are drawn."""
        from turpentine.attack import Trial

        return Trial.of(model, steps=self.steps, guidance_scale=self.guidance_scale, pictures=self.pictures)

    def budget(self) -> Budget:
        """Return the most that each search may spend."""
        from turpentine.attack import Budget

        return Budget(self.max_forward, self.max_backward, self.max_text, self.max_judged)


def attack(
    file: Path | None = None,
    /,
    *,
    concept: str | None = None,
    attack: str | None = None,
    choice: Annotated[AttackChoice, AttackFlags] = AttackChoice(),
    given: Annotated[ReferenceChoice, AttackFlags] = ReferenceChoice(),
    source: Annotated[ModelChoice, ModelFlags] = ModelChoice(),
    settings: Annotated[Any, Parameter(parse=False)] = None,
    line: Annotated[str, Parameter(parse=False)] = "",
    list: Annotated[bool, Parameter(negative=(), show_default=False)] = False,
    json: Json = False,
) -> None:
    """Try to bring an erased concept back, by each affordable attack or one, beside controls with the same budget.

    The controls are the model without the edit, the concept's word swapped for another one (which only hides it: an
    attack that does not open that has no power here), plain prompts, and a concept never seen where one is given. A run
    that was broken off goes on with the same command.

    Args:
        file: The edit or guidance that is attacked, or the folder of a run of turpentine erase.
        concept: What is to come back; by default what the edit erased.
        attack: One attack, whose settings are flags too; by default all that cost little, or prompt-list where
            --prompts names a file. See --list.
        choice: What is attacked, with what means.
        given: Pictures that attacks are given.
        source: The model that the edit is of, and where it runs.
        settings: Flags of the attack's settings; `with_attack` adds them.
        line: The command line, for the page.
        list: Print the attacks, and do nothing else.
        json: Print one JSON document, also of an error.

    Raises:
        BadArgument: There is nothing to attack, or nobody to judge.

    Example:
        turpentine attack runs/church-uce --concept church --attack cce
    """
    if list:
        check_lists_alone(file)
        print_attacks(json)
        return
    if file is None and choice.against == "edit":
        raise BadArgument("There is nothing to attack: give the file of an edit, or --against original.")
    if (concept is not None and not concept.strip()) or (file is None and concept is None):
        raise BadArgument("There is no concept: name what is to come back, such as --concept church.")
    given.check()
    _check(file, concept, choice, source)
    run = _Run(file, concept, choice, given, source, _chosen(attack, settings), json)
    battery = run.battery()
    files = run.write(battery, line)
    if json:
        leak = run.leak.numbers() if run.leak else None
        numbers = {"rows": battery.table.to_dicts(), "attacks": numbers_of(battery), "leak": leak}
        say_json({**numbers, "files": [str(each) for each in files]})
        return
    print_battery(battery, run.leak)
    for path in files:
        say(plain(str(path)))


def with_attack(command: Callable[..., None], tokens: Sequence[str]) -> Callable[..., None]:
    """Return the command with flags for the settings of the attack that is named.

    Args:
        command: `attack`.
        tokens: What follows the command on the command line.
    """

    name = option_in(tokens, "--attack", "") or (PROMPTS if option_in(tokens, "--prompts", "") else "")

    @wraps(command)
    def fitted(*args: Any, **kwargs: Any) -> None:
        own = {"line": shlex.join(["turpentine", "attack", *tokens]), **({"attack": name} if name else {})}
        command(*args, **{**kwargs, **own})

    if name:
        group = Parameter(name="*", group=Group(f"{SETTINGS}{name}", sort_key=1))
        flags = flags_of(find(name, "attack").defaults())
        _check_free(name, flags)
        fitted.__annotations__ = {**command.__annotations__, "settings": Annotated[flags | None, group]}
    return fitted


def _check_free(name: str, flags: type[Any]) -> None:
    """Check that no setting of an attack has the name of a flag of the command, of which one would be passed over.

    Raises:
        BrokenPlugin: One has.
    """
    own = {
        *attack.__annotations__,
        *(each.name for kind in (AttackChoice, ReferenceChoice, ModelChoice) for each in fields(kind)),
    }
    taken = sorted(own.intersection(each.name for each in fields(flags)) - {"file"})
    if taken:
        raise BrokenPlugin(
            f"The attack {name!r} has a setting {taken[0]}, and so has every attack by the command: "
            "its author must rename it."
        )


def _chosen(name: str | None, settings: Any) -> Sequence[Attack]:
    """Return the attack that is named, with its settings, or all that cost little."""
    if name is None:
        with busy("Starting"):
            return affordable_attacks()
    one = find(name, "attack").defaults()
    return [with_flags(one, settings) if settings else one]


def _check(file: Path | None, concept: str | None, choice: AttackChoice, source: ModelChoice) -> None:
    """Check what can be checked before a model is loaded."""
    check_judge_flag(choice.by)
    check_guidance_scale(choice.guidance_scale)
    source.check()
    if concept:
        check_words([concept], source.model, force=None)
    check_folder(choice.out or ATTACKED)
    if file is not None:
        check_readable(file)
        from turpentine.edits.files import check_change

        check_change(file)


class _Run:
    """One call of the command."""

    def __init__(
        self,
        file: Path | None,
        concept: str | None,
        choice: AttackChoice,
        given: ReferenceChoice,
        source: ModelChoice,
        attacks: Sequence[Attack],
        json: bool,
    ) -> None:
        from turpentine.edits.files import read_change
        from turpentine.tasks.erasure_cases import named_concept

        self._choice, self._given, self._attacks, self._json = choice, given, attacks, json
        self.model: Model = source.load()
        self._change: Change | None = read_change(file, self.model) if file is not None else None
        text = concept or erased_concept(self._change, "come back")
        warn_of_unknown_words(self.model, [text])
        self.concept = named_concept(text)
        self.judge = judge_of_concept(choice.by, self.model, self.concept)
        self.never: Never | None = given.never_of(self.model, choice.by)
        self.out = choice.out or ATTACKED / safe_name(text)

    def battery(self) -> Battery:
        """Run the attacks and their controls."""
        from turpentine.attack import Victim
        from turpentine.attack.controls import Controls, battery

        choice, original = self._choice, Victim(self.model)
        edited = Victim(self.model, (self._change,)) if self._change and choice.against == "edit" else original
        edited.facts()  # an edit of another base is refused before anything is drawn
        if not self._json:
            attacks = counted(len(self._attacks), "attack")
            say(f"{attacks}, each with its controls: about {duration(self._seconds(original))}.")
        with progress_bar("Attacking", "parts") as progress:
            return battery(
                self._attacks,
                edited,
                self.concept,
                original=original,
                judge=self.judge,
                references=self._given.pictures(),
                controls=Controls(self.never),
                budget=choice.budget(),
                trial=choice.trial(self.model),
                seed=choice.seed,
                cache=self.out / "parts",
                progress=progress,
            )

    @cached_property
    def leak(self) -> Leak | None:
        """What the file that is attacked gives away by itself, None for a guidance or no file."""
        from turpentine.attack.leak import leak_of
        from turpentine.edits import Edit

        change = self._change if self._choice.against == "edit" else None
        return leak_of(change, self.model) if isinstance(change, Edit) else None

    def write(self, battery: Battery, line: str) -> list[Path]:
        """Write the page, the table and the artefacts, and return their paths."""
        from turpentine.attack.controls import EDITED
        from turpentine.report.attack_page import write_attack_page

        self.out.mkdir(parents=True, exist_ok=True)
        choice, trial = self._choice, self._choice.trial(self.model)
        facts = {
            "model": self.model.name,
            **_attacked_facts(self._change),
            "judge": self.judge.name,
            "pictures": f"{choice.pictures} new ones each, {trial.steps} steps, guidance {trial.guidance_scale:g}",
        }
        page = write_attack_page(
            battery, self.out / "attack.html", concept=self.concept.text, facts=facts, command=line, leak=self.leak
        )
        table = self.out / "table.parquet"
        battery.save(table)
        paths = [page, table]
        for (name, arm), outcome in battery.outcomes.items():
            if arm == EDITED:
                paths.append(self.out / f"{name}.safetensors")
                outcome.artefact.save(paths[-1])
        return paths

    def _seconds(self, original: Victim) -> float:
        """Return about how long all takes, by a short trial."""
        from turpentine.attack.pace import AttackPace

        trial, budget = self._choice.trial(self.model), self._choice.budget()
        with original.on() as model:
            pace = AttackPace.of(model)
        arms = 4 if self.never else 3
        searches = sum(pace.of_arm(one, trial, budget) for one in self._attacks)
        return arms * (searches + pace.of_pictures(trial))


def _attacked_facts(change: Change | None) -> dict[str, str]:
    """Return what the page says of what is attacked."""
    if change is None:
        return {"attacked": "the model as it is"}
    concepts = ", ".join(concept.text for concept in change.provenance.concepts) or "no concept"
    return {
        "attacked": f"{change.provenance.title} of {concepts}, strength {change.strength:g}",
        "edit id": change.id,
    }
