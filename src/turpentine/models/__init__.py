"""A text-to-image diffusion model behind one small interface, whichever family it is of."""

from typing import TYPE_CHECKING

from turpentine.core.lazy import lazy_exports

if TYPE_CHECKING:
    from turpentine.models.conditioning import Conditioning
    from turpentine.models.families.scale import is_small
    from turpentine.models.guidance import Blend, ClassifierFree, Combination, Guidance
    from turpentine.models.hooks import Call, count_rows, hooked, record, sever, swap
    from turpentine.models.loading.load import load
    from turpentine.models.model import Model
    from turpentine.models.sampler import Step, sample
    from turpentine.models.sites import (
        Selection,
        Site,
        Sites,
        check_in_denoiser,
        check_windowless,
        selected,
        window_of,
    )
    from turpentine.models.trajectory import Trajectory
    from turpentine.models.windows import Moment, Window

__all__ = [
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
    "Window",
    "check_in_denoiser",
    "check_windowless",
    "count_rows",
    "hooked",
    "is_small",
    "load",
    "record",
    "sample",
    "selected",
    "sever",
    "swap",
    "window_of",
]

__getattr__, __dir__ = lazy_exports(__name__)
