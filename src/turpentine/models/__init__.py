"""A text-to-image diffusion model behind one small interface, whichever family it is of.

What stands here is public, and is imported from here by what is above `models`; functions that take a model's parts and
serve it alone stay in their modules.
"""

from typing import TYPE_CHECKING

from turpentine.core.lazy import lazy_exports

if TYPE_CHECKING:
    from turpentine.models.artefact import Artefact
    from turpentine.models.call import Call
    from turpentine.models.conditioning import Conditioning
    from turpentine.models.drawing_defaults import steps_and_guidance
    from turpentine.models.guidance import Blend, ClassifierFree, TrueGuidance
    from turpentine.models.hooks import count_rows, hooked, record, sever, swap
    from turpentine.models.interface import Combination, Guidance
    from turpentine.models.loading.load import load
    from turpentine.models.model import Model
    from turpentine.models.sampler import Step, sample
    from turpentine.models.scale import is_small, pipeline_class
    from turpentine.models.sites import (
        DENOISER,
        READS_TEXT,
        Selection,
        Site,
        Sites,
        check_in_denoiser,
        check_whole,
        check_windowless,
        selected,
        window_of,
    )
    from turpentine.models.trajectory import Trajectory
    from turpentine.models.windows import Moment, Window

__all__ = [
    "DENOISER",
    "READS_TEXT",
    "Artefact",
    "Blend",
    "Call",
    "ClassifierFree",
    "Combination",
    "Conditioning",
    "Guidance",
    "Model",
    "Moment",
    "Selection",
    "Site",
    "Sites",
    "Step",
    "Trajectory",
    "TrueGuidance",
    "Window",
    "check_in_denoiser",
    "check_whole",
    "check_windowless",
    "count_rows",
    "hooked",
    "is_small",
    "load",
    "pipeline_class",
    "record",
    "sample",
    "selected",
    "sever",
    "steps_and_guidance",
    "swap",
    "window_of",
]

__getattr__, __dir__ = lazy_exports(__name__)
