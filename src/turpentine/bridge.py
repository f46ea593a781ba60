"""Our methods as a technique of eval-unlearn, whose metrics then measure them beside the techniques of others.

{"technique": {"name": "turpentine", "config": {"erase_concept": "Van Gogh", "method": "esd-x"}}, "metrics": […]}
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Literal

from turpentine.core.errors import BadArgument, UnknownName
from turpentine.core.suggest import offer

if TYPE_CHECKING:
    from PIL import Image

    from turpentine.edits import Change
    from turpentine.models import Model

SEEDS = 2**31


@dataclass(frozen=True)
class TechniqueConfig:
    """What stands under `config` of the technique.

    Args:
        erase_concept: What is erased.
        method: Of `turpentine methods`; by default the one for the model and the kind of concept.
        settings: Of the method, in the place of its defaults for the model.
        edit: The file of an edit that is made already, in the place of a method.
        model_id: As `turpentine.load` takes it.
        device: As `turpentine.load` takes it.
        dtype: As `turpentine.load` takes it.
        num_inference_steps: Steps of the solver for a picture.
        guidance_scale: How strongly the prompt guides.
        solver: As `Model.generate` takes it.

    Raises:
        BadArgument: There is neither a concept nor an edit, or there are a method and an edit.
    """

    erase_concept: str = ""
    method: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    edit: str | None = None
    model_id: str = "CompVis/stable-diffusion-v1-4"
    device: str | None = None
    dtype: Literal["fp32", "fp16", "bf16"] | None = None
    num_inference_steps: int = 50
    guidance_scale: float = 7.5
    solver: str = "ddim"

    def __post_init__(self) -> None:
        if not (self.erase_concept or self.edit):
            raise BadArgument("There is nothing to erase: give erase_concept, or edit, the file of an edit.")
        if self.edit and (self.method or self.settings):
            raise BadArgument("The edit is made already: leave out either edit, or method and settings.")


class Technique:
    """A model with a concept erased, as eval-unlearn asks for one; what is drawn of the nth prompt has the nth seed.

    Args:
        config: The fields of `TechniqueConfig`.

    Raises:
        UnknownName: There is no such field, method or setting.
        BadArgument: A field cannot be as it is.

    Example:
        >>> technique = Technique(erase_concept="church", method="prompt-filter", model_id="emoji")
        >>> [picture.getextrema() for picture in technique.generate(["a church"], seed=0, num_inference_steps=2)]
        [((0, 0), (0, 0), (0, 0))]
    """

    def __init__(self, **config: Any) -> None:
        names = [each.name for each in fields(TechniqueConfig)]
        for name in config:
            if name not in names:
                raise UnknownName(f"The technique turpentine has no {name!r}: {offer(name, names)}")
        self.config = TechniqueConfig(**config)
        from turpentine.models import load

        self.model: Model = load(self.config.model_id, device=self.config.device, dtype=self.config.dtype)
        self.change: Change = self._change()
        self.change.apply(self.model)

    def generate(self, prompts: Sequence[str], seed: int | None = None, **drawing: Any) -> list[Image.Image]:
        """Return a picture of each prompt.

        Args:
            prompts: Any number.
            seed: Of the first picture, the next one's is one more; None for any.
            drawing: `num_inference_steps`, `guidance_scale` and `negative_prompt`, in the place of the config's.

        Raises:
            UnknownName: Something else is given.
        """
        config = self.config
        how = {"num_inference_steps": config.num_inference_steps, "guidance_scale": config.guidance_scale, **drawing}
        names = ("num_inference_steps", "guidance_scale", "negative_prompt")
        for name in how:
            if name not in names:
                raise UnknownName(f"The technique turpentine draws by no {name!r}: {offer(name, names)}")
        if not prompts:
            return []
        first, steps = secrets.randbelow(SEEDS) if seed is None else seed, how.pop("num_inference_steps")
        seeds = range(first, first + len(prompts))
        return list(self.model.generate(list(prompts), seeds=seeds, steps=steps, solver=config.solver, **how))

    def _change(self) -> Change:
        from turpentine.bench.method_entries import plugin_entry
        from turpentine.edits.files import read_change
        from turpentine.erase.best import best_for
        from turpentine.tasks.erasure_cases import named_concept

        config = self.config
        if config.edit:
            return read_change(config.edit, self.model)
        concept = named_concept(config.erase_concept)
        best = best_for(self.model, [concept])
        entry = plugin_entry({config.method or best.name: dict(config.settings)}, "method", ("erase",))
        if config.method:
            method = entry.method_for(config.model_id)
        else:
            method = replace(best.method(self.model), **entry.settings)
        change: Change = method(self.model, concept)
        return change
