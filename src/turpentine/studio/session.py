"""All that the page of the studio does, without a web server: the stack, the pictures, the looks, and long work."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image

from turpentine.attack import Victim
from turpentine.bench.erasure_judges import default_judge
from turpentine.core.errors import BadArgument, EditError
from turpentine.core.hashing import digest
from turpentine.core.parts import RECORDS, Parts
from turpentine.core.plugins import find
from turpentine.core.safe_text import safe_name
from turpentine.edits import Change, Edit, load_change
from turpentine.edits.files import read_change
from turpentine.erase._at_inference import AtInference
from turpentine.judges import Judge
from turpentine.judges.worlds import check_judge_of, unknown_words
from turpentine.models import Model
from turpentine.models.filters import Filter
from turpentine.models.identity import describe
from turpentine.models.saving import refuse_existing
from turpentine.studio import attacking, erasing, looks
from turpentine.studio.first_state import first_state
from turpentine.studio.side_by_side import SidePicture, side_by_side
from turpentine.studio.state import PageState, StackEntry, read_state, write_state
from turpentine.studio.verdict_card import verdict_card
from turpentine.studio.work import Desk, LongWork, Stopped, sentence
from turpentine.tasks.erasure_cases import named_concept

CHANGES, PICTURES, RESULTS, PARTS = "changes", "pictures", "results", "parts"
"""Folders inside the studio's."""
FORMAT = 1
"""Of results. Raise it with what a panel shows of them: those of another format are done again."""
GUIDANCES = ("negative-prompt", "sld-weak", "sld-medium", "sld-strong", "sld-max")
"""Guidances that the page makes of a concept."""
PANELS = ("words", "layers", "dynamics", "locate", "erase", "attack")
"""What takes longer than a picture."""


class Session:
    """A model, a folder, and what one person does with them, in any number of windows.

    Every change of the state is made under a lock and written before it is returned. A model draws for one thread at a
    time. What is drawn is read from the folder where the same model has drawn it before.

    Args:
        model: Without changes on it.
        folder: For all that is written.
        oracle: A model that never saw the concept, for the third column.
        judge: Of the pictures; by default the emoji world's for its models, and for others CLIP if that is here.
        source: The name by which the model was loaded, for commands and code.
        oracle_source: The same of the oracle.

    Example:
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     session = Session(model, Path(folder))
        ...     _ = session.change(prompt="a dog", steps=1)
        ...     layer = session.guide("negative-prompt", "church")
        ...     [column.name for column in session.draw()]
        ['original', 'edited']
    """

    def __init__(
        self,
        model: Model,
        folder: Path,
        *,
        oracle: Model | None = None,
        judge: Judge | None = None,
        source: str = "emoji",
        oracle_source: str = "",
    ) -> None:
        check_judge_of(model, judge)
        self.model, self.folder, self.oracle = model, folder, oracle
        self.source, self.oracle_source = source, oracle_source
        self._judge = judge
        self._lock, self._drawing = threading.RLock(), threading.Lock()
        self.desk = Desk()
        self.failures: dict[str, str] = {}
        self._loaded: dict[str, Change] = {}
        folder.mkdir(parents=True, exist_ok=True)
        self.state, self.notice = read_state(folder, first_state(model))
        self._drawn_by = digest([describe(model), judge and [judge.name, judge.revision, judge.settings]])

    @property
    def judge(self) -> Judge | None:
        """Who judges pictures; the default one is of the state's concept."""
        return self._judge or default_judge(self.model, [named_concept(self.state.concept or "church")])

    def change(self, **fields: Any) -> PageState:
        """Set fields of the state, and write it.

        Raises:
            BadArgument: A value cannot be; nothing is changed.
        """
        with self._lock:
            state = self.state.changed(**fields)
            write_state(self.folder, state)
            for panel in tuple(self.failures):  # what went wrong with other settings says nothing of these
                if self._subject(panel, state) != self._subject(panel, self.state):
                    self.failures.pop(panel, None)
            self.state = state
            return state

    def add(self, path: str, scale: float = 1.0, *, again: bool = False) -> StackEntry:
        """Put a change on the stack: the file of an edit or a guidance, the folder of a run, or another program's edit.

        Args:
            path: Where it is.
            scale: How strong it is on the stack.
            again: Set the scale of one that is on the stack already, where it would be refused.

        Raises:
            EditError: Nothing is there, it cannot be read, or it is on the stack already.
            WrongBase: It was made for another model.
        """
        if not path.strip():
            raise EditError("There is no edit: write the path of a file or of a run's folder.")
        with self._drawing:
            change = read_change(path.strip(), self.model)
        if again and any(layer.id == change.id[:12] for layer in self.state.layers):
            return self.scale(change.id[:12], scale)
        return self.put_on(change, scale)

    def guide(self, method: str, concept: str) -> StackEntry:
        """Make a guidance away from a concept, and put it on the stack.

        Raises:
            BadArgument: The page makes no such guidance.
            EmptyConcept: There is no concept.
        """
        if method not in GUIDANCES:
            raise BadArgument(f"The studio makes no guidance by {method!r}: there are {', '.join(GUIDANCES)}.")
        guiding: AtInference = find(method, "erase").defaults(self.model)
        with self._drawing:
            change = guiding(self.model, named_concept(concept))
        return self.put_on(change)

    def put_on(self, change: Change, scale: float = 1.0) -> StackEntry:
        """Put a change on top of the stack, and a copy of it into the folder.

        Raises:
            EditError: It is on the stack already.
            WrongBase: It was made for another model.
        """
        layer = StackEntry(id=change.id[:12], title=_title(change), kind=_kind(change))
        # Whoever draws may ask for the stack: the model comes first, and the state after it.
        with self._drawing, change.on(self.model):  # which says what does not fit
            pass
        with self._lock:
            if any(each.id == layer.id for each in self.state.layers):
                raise EditError(f"{layer.title} is on the stack already: move its slider.")
            file = self._file(layer)
            file.parent.mkdir(parents=True, exist_ok=True)
            change.save(file)
            self._loaded[layer.id] = change
            self.change(layers=(*self.state.layers, layer.model_copy(update={"scale": scale})))
        return self.state.layer(layer.id)

    def scale(self, id: str, scale: float) -> StackEntry:
        """Set how strong a change of the stack is, from −1 to 2.

        Raises:
            BadArgument: It is not on the stack, or cannot be so strong.
        """
        with self._lock:
            self.state.layer(id)
            layers = [each.model_dump() | ({"scale": scale} if each.id == id else {}) for each in self.state.layers]
            if isinstance(scale, int | float) and -1 <= scale <= 2:
                self._change_of(self.state.layer(id)).scaled(scale)  # a filter is on or off
            self.change(layers=layers)
            return self.state.layer(id)

    def take_off(self, id: str) -> None:
        """Take a change off the stack; its copy stays in the folder.

        Raises:
            BadArgument: It is not there.
        """
        with self._lock:
            self.state.layer(id)
            self.change(layers=tuple(each for each in self.state.layers if each.id != id))

    def save(self, name: str) -> Path:
        """Write the stack as one edit into the folder, and return its file.

        Raises:
            EditError: Nothing is on the stack, a guidance is, or the edits cannot be one; or the file is there already.
        """
        with self._lock:
            changes = self.changes()
            guidances = [each for each in changes if not isinstance(each, Edit)]
            if guidances:
                raise EditError(
                    f"{_title(guidances[0])} changes no weight and cannot be in an edit: take it off to save the rest, "
                    f"and put it on by its own file, {self._file_of(guidances[0])}."
                )
            if not changes:
                raise EditError("There is nothing on the stack to save: put an edit on, at another scale than 0.")
            if not name.strip():
                raise EditError("The edit has no name: write one, such as church-gone.")
            path = self.folder / f"{safe_name(name)}.safetensors"
            refuse_existing(path)
            Edit.merge([each for each in changes if isinstance(each, Edit)]).save(path)
            return path

    def changes(self) -> tuple[Change, ...]:
        """Return the changes of the stack, scaled, without those at 0, which change nothing."""
        with self._lock:
            return tuple(self._change_of(each).scaled(each.scale) for each in self.state.layers if each.scale)

    def victim(self, on: str = "edited") -> Victim:
        """Return the model with the stack, or as it is."""
        return Victim(self.model, self.changes() if on == "edited" else ())

    def draw(self) -> list[SidePicture]:
        """Return the picture of the model as it is, with the stack, and of the oracle where there is one.

        Raises:
            BadArgument: A setting cannot be.
        """
        state, victim = self.state, self.victim()
        with self._drawing:
            pictures = {"original": self._picture(self.model, state)}
            with victim.on() as model:
                pictures["edited"] = self._picture(model, state)
            if self.oracle is not None:
                pictures["oracle"] = self._picture(self.oracle, state)
        return side_by_side(pictures, self.judge)

    def note(self, text: str) -> str:
        """Return what is to be said of a prompt or a concept: which of its words the model does not know."""
        words = unknown_words(self.model, text)
        if not words:
            return ""
        does = "is a word" if len(words) == 1 else "are words"
        return f"{', '.join(words)} {does} that the model does not know: what it draws for it is chance."

    def work(self, panel: str) -> dict[str, Any]:
        """Do the long work of a panel, store what comes out, and return it.

        Args:
            panel: One of PANELS.

        Raises:
            BadArgument: There is no such panel, or other work is under way.
            Stopped: Somebody stopped it; what is finished is not done again.
        """
        if panel not in PANELS:
            raise BadArgument(f"The studio has no {panel!r}: there are {', '.join(PANELS)}.")
        state = self.state
        with self.desk.begun(LongWork(panel, self.rows(panel))) as job:
            self.failures.pop(panel, None)
            with self._drawing, job.watching(self.model):
                result = {**self._panel_work(panel, state), "rows_drawn": job.done, "of": self._subject(panel, state)}
            if panel == "erase":
                self._put_on_erased(result)
        self._store(panel, result)
        return result

    def begin(self, panel: str) -> threading.Thread:
        """Do the long work of a panel in the background; `failures` has the sentence where it fails."""
        if self.desk.job is not None:
            raise BadArgument(f"The studio is at work on {self.desk.job.name}: stop that, or wait until it is done.")
        thread = threading.Thread(target=self._in_background, args=(panel,), daemon=True)
        thread.start()
        while self.desk.job is None and thread.is_alive():  # so that the answer to a window has the work in it
            thread.join(0.01)
        return thread

    def result(self, panel: str) -> dict[str, Any] | None:
        """Return what the panel's last work came to, with `is_current` false where the page is about something else."""
        content = self._results().get(panel)
        if content is None:
            return None
        return {**content, "is_current": content.get("of") == self._subject(panel, self.state)}

    def verdict(self) -> dict[str, Any] | None:
        """Return the card of the audit, None where no file is named.

        Raises:
            BadArgument: The file is no audit.
        """
        return verdict_card(self.state.audit, self.changes()) if self.state.audit else None

    def rows(self, panel: str) -> int:
        """Return about how many rows of the denoiser the work of a panel takes."""
        state, model = self.state, self.model
        estimates: Mapping[str, Callable[[], int]] = {
            "words": lambda: 2 * state.steps,
            "dynamics": lambda: 2 * state.steps,
            "layers": lambda: looks.layer_rows(model, state),
            "locate": lambda: erasing.locating_rows(model, state),
            "erase": lambda: erasing.erasing_rows(model, state, self.judge) if state.concept.strip() else 0,
            "attack": lambda: attacking.attack_rows(state),
        }
        return estimates[panel]()

    def _panel_work(self, panel: str, state: PageState) -> dict[str, Any]:
        parts = self.folder / PARTS
        if panel in ("words", "dynamics", "layers"):
            with self.victim(state.on).on() as model:
                if panel == "layers":
                    return looks.layer_map(model, state, parts)
                return looks.word_maps(model, state) if panel == "words" else looks.dynamics(model, state)
        if panel == "locate":
            return erasing.locate(self.model, state, self.judge, parts)
        if panel == "erase":
            change, result = erasing.erase(self.model, state, self.judge, self.folder / "erased")
            self._loaded[change.id[:12]] = change
            return result
        return attacking.attack(self.victim(), state, self.judge, self.folder / "attacks")

    def _put_on_erased(self, result: Mapping[str, Any]) -> None:
        """Put the new edit on the stack, where it is not on it yet."""
        if all(each.id != result["edit"] for each in self.state.layers):
            self.put_on(self._loaded[result["edit"]])

    def _in_background(self, panel: str) -> None:
        try:
            self.work(panel)
        except Stopped:
            self.failures[panel] = "Stopped. What was finished is stored, and is not done again."
        except Exception as error:
            self.failures[panel] = sentence(error)

    def _subject(self, panel: str, state: PageState) -> list[Any]:
        """Return what a panel's result is about, as JSON has it."""
        drawing = [self._drawn_by, state.seed, state.steps, state.guidance_scale]
        stack = [[each.id, each.scale] for each in state.layers if each.scale]
        if panel in ("words", "layers", "dynamics"):
            return [*drawing, state.prompt, stack if state.on == "edited" else []]
        if panel == "attack":
            return [*drawing, state.concept, stack, state.attack, state.budget, state.pictures]
        more = [list(state.sites), state.method, state.updates] if panel == "erase" else []
        return [*drawing, state.concept, *more]

    def _store(self, panel: str, result: Mapping[str, Any]) -> None:
        self._results().put(panel, dict(result))

    def _results(self) -> Parts[Any]:
        return Parts(self.folder / RESULTS, ["result", FORMAT], RECORDS)

    def _picture(self, model: Model, state: PageState) -> Image.Image:
        def make() -> dict[str, torch.Tensor]:
            (image,) = model.generate([state.prompt], seeds=[state.seed], progress=False, **state.drawing())
            return {"pixels": torch.from_numpy(np.asarray(image.convert("RGB")).copy())}

        parts = Parts(self.folder / PICTURES, ["picture", describe(model)])
        key = [state.prompt, state.seed, state.steps, state.guidance_scale]
        return Image.fromarray(parts.part(key, make)["pixels"].numpy())

    def _change_of(self, layer: StackEntry) -> Change:
        if layer.id not in self._loaded:
            self._loaded[layer.id] = load_change(self._file(layer))
        return self._loaded[layer.id]

    def _file(self, layer: StackEntry) -> Path:
        return self.folder / CHANGES / layer.file

    def _file_of(self, change: Change) -> Path:
        return next(self._file(each) for each in self.state.layers if _title(self._change_of(each)) == _title(change))


def _kind(change: Change) -> Literal["edit", "guidance", "filter"]:
    if isinstance(change, Edit):
        return "edit"
    return "filter" if isinstance(change.guidance, Filter) else "guidance"


def _title(change: Change) -> str:
    concepts = ", ".join(concept.text for concept in change.provenance.concepts)
    name = _NAMES.get(change.provenance.method, change.provenance.title)
    return f"{name} of {concepts}" if concepts else name


_NAMES: Mapping[str, str] = {
    "NegativePrompt": "negative prompt",
    "PromptFilter": "prompt filter",
    "PictureFilter": "picture filter",
    "CADAmplify": "CAD, amplified",
}
"""What people call a method whose class has another name."""
