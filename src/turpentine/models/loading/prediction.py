"""What a single file says of its network's prediction, which is not in its weights: v or ε, and noise to the very end.

Programs agree on two ways: empty tensors named `v_pred` and `ztsnr`, and the metadata of the model specification
(modelspec, v1.0.0), whose `modelspec.prediction_type` is "epsilon" or "v".
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from inspect import signature
from typing import Any

import torch
from torch import Tensor

from turpentine.core.errors import BadArgument, ModelNotFound, UnsupportedModel
from turpentine.core.safe_text import one_line

PREDICTIONS = ("epsilon", "v_prediction")
"""By diffusers' names."""

V_MARK, ZERO_SNR_MARK = "v_pred", "ztsnr"
_SPEC = "modelspec.prediction_type"
_NAMES = {
    "epsilon": "epsilon",
    "eps": "epsilon",
    "v": "v_prediction",
    "v_pred": "v_prediction",
    "v_prediction": "v_prediction",
}
# Playground's files: another schedule, and latents of another mean.
_EDM = ("edm_vpred.", "edm_mean", "edm_std")


@dataclass(frozen=True)
class Prediction:
    """What a network predicts, and whether its schedule ends in pure noise; None for what is not said.

    Args:
        prediction: One of PREDICTIONS.
        zero_snr: Does the schedule end without signal (Lin et al. 2023, arXiv 2305.08891)?
    """

    prediction: str | None = None
    zero_snr: bool | None = None

    def __post_init__(self) -> None:
        if self.prediction not in (None, *PREDICTIONS):
            raise BadArgument(f"No prediction is called {self.prediction!r}: there are {' and '.join(PREDICTIONS)}.")

    def set_on(self, pipeline: Any) -> None:
        """Give a pipeline a scheduler of this prediction, like its own in all else."""
        own = pipeline.scheduler
        changes: dict[str, Any] = {}
        if self.prediction is not None:
            changes["prediction_type"] = self.prediction
        if self.zero_snr is not None:
            changes["rescale_betas_zero_snr"] = self.zero_snr
        if all(own.config.get(key) == value for key, value in changes.items()):
            return
        kind = type(own)
        if self.zero_snr and "rescale_betas_zero_snr" not in signature(kind).parameters:
            from diffusers import DDIMScheduler

            kind, changes = DDIMScheduler, {"clip_sample": False, **changes}
        pipeline.scheduler = kind.from_config(own.config, **changes)


def prediction_in(names: Iterable[str], metadata: Mapping[str, str], given: Prediction) -> Prediction:
    """Return what a single file says.

    Args:
        names: Of its tensors.
        metadata: In its header.
        given: What the user says, which comes first.

    Raises:
        UnsupportedModel: It predicts neither ε nor v.
        ModelNotFound: It says two things.
    """
    names = set(names)
    if any(name.startswith(_EDM) for name in names):
        raise UnsupportedModel("its schedule is EDM's, and Turpentine works on schedules of betas.")
    zero_snr = ZERO_SNR_MARK in names or metadata.get("ss_zero_terminal_snr", "").lower() == "true"
    if given.prediction is None:
        given = replace(given, prediction=_prediction_in(names, metadata))
    return replace(given, zero_snr=True) if zero_snr and given.zero_snr is None else given


def _prediction_in(names: Collection[str], metadata: Mapping[str, str]) -> str | None:
    spec = metadata.get(_SPEC, "").strip().lower().replace("-", "_")
    if spec and spec not in _NAMES:
        raise UnsupportedModel(f"it predicts {one_line(spec)!r} by its {_SPEC}, and neither epsilon nor v.")
    stated = {"v_prediction"} if V_MARK in names else set()
    stated |= {_NAMES[spec]} if spec else set()
    if len(stated) > 1:
        raise ModelNotFound(f"it has {V_MARK} and says {spec!r} in its {_SPEC}: say which one it is by prediction=.")
    return next(iter(stated), None)


def marks_of(pipeline: Any) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the tensors and the metadata by which a single file says what a pipeline's network predicts."""
    config, marks = pipeline.scheduler.config, {}
    is_v = config.get("prediction_type") == "v_prediction"
    if is_v:
        marks[V_MARK] = torch.empty(0)
    if config.get("rescale_betas_zero_snr"):
        marks[ZERO_SNR_MARK] = torch.empty(0)
    return marks, {"modelspec.sai_model_spec": "1.0.0", _SPEC: "v" if is_v else "epsilon"}
