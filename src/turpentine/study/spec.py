"""The file of a study: pictures, questions, who sees what, and what is excluded; see `docs/study.md`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from string import Formatter
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Discriminator, Field, Tag, ValidationError, model_validator

from turpentine.bench.faults import sentences
from turpentine.bench.file import text_of
from turpentine.bench.yaml_lines import Document, read_yaml, with_overrides
from turpentine.core.errors import BadArgument, SeveralFaults, UnknownName
from turpentine.core.suggest import offer
from turpentine.tasks.case_rules import FileSection

Text = Annotated[str, Field(min_length=1)]
Share = Annotated[float, Field(ge=0, le=1)]
QuestionKind = Literal["rating", "presence", "choice"]
Role = Literal["edited", "original", "oracle", "real", "similar"]
PLACEHOLDERS = ("subject", "prompt")
_SUFFIXES = (".yaml", ".yml")


class RunPictures(FileSection):
    """Pictures of a bench's run, or of turpentine erase.

    Attributes:
        run: Its folder.
        subject: The column that says what a question is about: expected, what the prompt asks for and the judge looks
            for; label, what the picture is listed as; or concept, what was erased.
        groups: Of cases; None for all.
        seeds: The first so many of each prompt; None for all.
        judge: Whose hits the run has.
        blur: Hide them until a rater shows them?
    """

    run: Text
    subject: Literal["expected", "label", "concept"] = "expected"
    groups: tuple[str, ...] | None = None
    seeds: Annotated[int, Field(ge=1)] | None = None
    judge: str = "judge"
    blur: bool = False


class FolderPictures(FileSection):
    """Pictures in folders, folder/CONDITION/SUBJECT/picture.png.

    Attributes:
        folder: Its path.
        blur: Hide them until a rater shows them?
    """

    folder: Text
    blur: bool = False


class TablePictures(FileSection):
    """Pictures that a CSV file lists: file, condition, subject; and if there, erased, prompt, seed, blur, judged.

    Attributes:
        table: Its path; files are relative to it.
        judge: Whose yes or no the column judged is.
        blur: Hide all of them until a rater shows them?
    """

    table: Text
    judge: str = "judge"
    blur: bool = False


class WorldPictures(FileSection):
    """Pictures in the hands of the emoji world's artists, which are no works of theirs: real, and of a similar artist.

    Attributes:
        world: "artists".
        count: Of each artist, and of each role.
    """

    world: Literal["artists"]
    count: Annotated[int, Field(ge=1, le=24)] = 4


_KINDS: Mapping[str, type[FileSection]] = {
    "run": RunPictures,
    "folder": FolderPictures,
    "table": TablePictures,
    "world": WorldPictures,
}


def _kind(value: Any, kinds: Mapping[str, type[FileSection]] = _KINDS) -> str | None:
    """Return which kind of section a mapping is, or a section itself, which pydantic asks for when it writes one."""
    if isinstance(value, dict):
        return next((kind for kind in kinds if kind in value), None)
    return next((kind for kind, section in kinds.items() if isinstance(value, section)), None)


Pictures = Annotated[
    Annotated[RunPictures, Tag("run")]
    | Annotated[FolderPictures, Tag("folder")]
    | Annotated[TablePictures, Tag("table")]
    | Annotated[WorldPictures, Tag("world")],
    Discriminator(_kind),
]


def _with_placeholders(value: str) -> str:
    """Return a text, if what it has in braces can be put in."""
    try:
        fields = [field[1:] for field in Formatter().parse(value) if field[1] is not None]
    except ValueError as error:
        raise ValueError(f"text has a brace that is not closed: {error}.") from error
    for name, form, conversion in fields:
        if name not in PLACEHOLDERS:
            raise ValueError(f"there is no {{{name}}} to put into a text: {offer(name, PLACEHOLDERS)}")
        if form or conversion:
            raise ValueError(f"{{{name}}} stands in a text alone: leave out what follows its name.")
    return value


Wording = Annotated[Text, AfterValidator(_with_placeholders)]
"""A text that raters read, with {subject} and {prompt} where they are put in."""


class WorldExamples(FileSection):
    """The works of the emoji world's artists.

    Attributes:
        world: "works".
        title: What stands above them.
    """

    world: Literal["works"]
    title: Wording = "Works by {subject}"


class FolderExamples(FileSection):
    """Pictures in folders, folder/SUBJECT/picture.png.

    Attributes:
        folder: Its path.
        title: What stands above them, such as Works by {subject}.
    """

    folder: Text
    title: Wording = "Examples of {subject}"


_EXAMPLE_KINDS: Mapping[str, type[FileSection]] = {"world": WorldExamples, "folder": FolderExamples}


Examples = Annotated[
    Annotated[WorldExamples, Tag("world")] | Annotated[FolderExamples, Tag("folder")],
    Discriminator(lambda value: _kind(value, _EXAMPLE_KINDS)),
]


class Question(FileSection):
    """A question about a picture, or about two.

    Attributes:
        name: In tables.
        kind: rating: 1 to 5; presence: yes, no or unsure; choice: which of two, or neither.
        text: What raters read; {subject} and {prompt} are put in.
        low: What 1 means.
        high: What 5 means.
        examples: How many pictures of the subject stand above.
        conditions: Which it is about; None for all.
    """

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,39}$")]
    kind: QuestionKind
    text: Wording
    low: str = "surely not"
    high: str = "surely"
    examples: Annotated[int, Field(ge=0, le=12)] = 0
    conditions: tuple[str, ...] | None = None

    def worded(self, subject: str, prompt: str) -> str:
        """Return the text about a subject and a prompt."""
        return self.text.format(subject=subject, prompt=prompt)


class Qualification(FileSection):
    """Trials with known answers before the study; who fails does not go on.

    Attributes:
        trials: How many.
        right: How many must be right.
    """

    trials: Annotated[int, Field(ge=1, le=20)]
    right: Annotated[int, Field(ge=1, le=20)]

    @model_validator(mode="after")
    def _check(self) -> Qualification:
        if self.right > self.trials:
            raise ValueError(f"{self.right} of {self.trials} trials cannot be right: lower right.")
        return self


class Exclusions(FileSection):
    """Whose answers are left out, as it was settled before the first answer; results are given with and without.

    Attributes:
        attention: Wrong attention checks, at most; None to let all pass.
        fastest: Milliseconds that the middle answer must take at least.
        repeats: Least share of repeated items that are answered alike, for a rating to within 1.
        straight: Largest share of answers that may be one and the same.
        complete: Least share of the items that are answered.
    """

    attention: Annotated[int, Field(ge=0)] | None = 1
    fastest: Annotated[int, Field(ge=0)] = 400
    repeats: Share = 0.0
    straight: Share = 1.0
    complete: Share = 0.5


class PowerSection(FileSection):
    """What `study check` takes for granted of the answers.

    Attributes:
        difference: Between two conditions, in points of 1 to 5; of rates it is a quarter of that.
        sd: Standard deviation of the answers.
        icc: Correlation of two people's answers to one picture, or to one pair.
        preference: Of two, the share of those who see a difference that prefer the better one.
        ties: Share of choices that are no difference.
    """

    difference: Annotated[float, Field(gt=0, le=4)] = 0.5
    sd: Annotated[float, Field(gt=0, le=2.5)] = 1.2
    icc: Share = 0.3
    preference: Annotated[float, Field(gt=0.5, lt=1)] = 0.65
    ties: Annotated[float, Field(ge=0, lt=1)] = 0.2


class StudySpec(FileSection):
    """The content of a study's file.

    Attributes:
        title: What raters read first.
        about: What it shows; raters do not see it.
        source: What it is a counterpart of, such as a paper's figure.
        consent: What raters agree to, in paragraphs.
        contact: Whom raters can ask.
        seed: Of all chance.
        items: Where the pictures are.
        roles: Of conditions, such as sd-v1-4: original; others are edited, or what their source says.
        examples: Real pictures of the subjects.
        questions: About each picture, or about pairs.
        ratings: Raters for each item.
        items_per_rater: Items that a rater sees, besides practice, checks and repeats.
        practice: Trials with an answer that is explained.
        qualification: Trials that must be right.
        attention: Checks among a rater's items.
        repeats: Share of a rater's items that come twice.
        seconds: That an answer takes.
        exclusions: Rules, settled beforehand.
        power: What is taken for granted.
    """

    title: Text
    about: str = ""
    source: str = ""
    consent: Text
    contact: str = ""
    seed: Annotated[int, Field(ge=0)] = 0
    items: tuple[Pictures, ...] = Field(min_length=1)
    roles: dict[str, Role] = Field(default_factory=dict)
    examples: Examples | None = None
    questions: tuple[Question, ...] = Field(min_length=1)
    ratings: Annotated[int, Field(ge=1, le=1000)] = 5
    items_per_rater: Annotated[int, Field(ge=1, le=1000)] = 40
    practice: Annotated[int, Field(ge=0, le=20)] = 2
    qualification: Qualification | None = None
    attention: Annotated[int, Field(ge=0, le=50)] = 2
    repeats: Share = 0.1
    seconds: Annotated[float, Field(gt=0)] = 6.0
    exclusions: Exclusions = Exclusions()
    power: PowerSection = PowerSection()

    @model_validator(mode="after")
    def _check(self) -> StudySpec:
        names = [each.name for each in self.questions]
        if len(set(names)) < len(names):
            raise ValueError("two questions have one name: give each its own.")
        needing = [each.name for each in self.questions if each.examples]
        if needing and self.examples is None:
            raise ValueError(f"the question {needing[0]} shows examples: say where they are by the key examples.")
        if self.examples is None and (self.practice or self.qualification or self.attention):
            raise ValueError(
                "practice, qualification and attention need pictures with a known answer: give examples, or set "
                "practice: 0, attention: 0 and no qualification."
            )
        return self


def shipped_studies() -> dict[str, str]:
    """Return the texts of the studies that come with the package, by name.

    Example:
        >>> list(shipped_studies())
        ['artist-likeness', 'artist-likeness-real']
    """
    folder = files("turpentine.study") / "plans"
    paths = {file.name.removesuffix(".yaml"): file for file in folder.iterdir() if file.name.endswith(".yaml")}
    return {name: paths[name].read_text(encoding="utf-8") for name in sorted(paths)}


def read_plan(name: str, overrides: Sequence[str] = ()) -> tuple[StudySpec, Document, Path]:
    """Read a study's file.

    Args:
        name: A path, or the name of a study that ships.
        overrides: `key=value`, in the place of what the file says.

    Returns:
        Its content, the values with their lines, and the folder that its paths start from: the current one for a study
        that ships.

    Raises:
        BadArgument: The file cannot be read, or a value cannot be; file and line are named.
        UnknownName: There is no such file or study.

    Example:
        >>> read_plan("artist-likeness", ["ratings=9"])[0].ratings
        9
    """
    path = Path(name)
    texts = shipped_studies()
    is_file = path.suffix in _SUFFIXES or path.is_file()
    if not is_file and name not in texts:
        raise UnknownName(f"No study is called {name!r}, and no file: {offer(name, texts)}")
    document = read_yaml(text_of(path) if is_file else texts[name], name if is_file else f"{name}.yaml")
    with_overrides(document, overrides)
    return checked(document), document, path.parent if is_file else Path()


def checked(document: Document) -> StudySpec:
    """Return the content of a study's file.

    Raises:
        BadArgument: A value cannot be as it is; file and line are named.
    """
    if not isinstance(document.value, dict):
        raise BadArgument(f"{document.name} holds no keys with values: it is no study's file.")
    try:
        return StudySpec.model_validate(document.value)
    except ValidationError as error:
        kinds = {"items": _KINDS, "examples": _EXAMPLE_KINDS}
        raise SeveralFaults(sentences(error, document, StudySpec, kinds)) from error
