"""diffusers schedulers that take the velocity of a straight line from noise to picture, and what they must be like."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from turpentine.core.errors import BadArgument, UnsupportedModel

_DYNAMIC = (
    "use_dynamic_shifting",
    "time_shift_type",
    "base_image_seq_len",
    "max_image_seq_len",
    "base_shift",
    "max_shift",
)

Shift = Callable[[Mapping[str, Any], int, int], float]
"""Returns μ of a dynamic shift by the scheduler's config, the picture's tokens and the number of steps."""

EULER, DPM = "FlowMatchEulerDiscreteScheduler", "DPMSolverMultistepScheduler"

# Settings of a scheduler that change what is drawn and that no solver here honours.
_OTHER_LINES = {
    "stochastic_sampling": "adds fresh noise in each step",
    "invert_sigmas": "counts σ backwards",
}


def check_flow(scheduler: Any) -> None:
    """Check that a scheduler's line is one that the solvers here can follow.

    Raises:
        UnsupportedModel: It is not a flow's, or a setting asks for something else.
    """
    config, name = scheduler.config, type(scheduler).__name__
    is_dpm = name == DPM and config.get("prediction_type") == "flow_prediction" and config.get("use_flow_sigmas")
    if name != EULER and not is_dpm:
        raise UnsupportedModel(
            f"{name} with {config.get('prediction_type', 'no')!r} prediction is no flow's: give the pipeline its "
            f"{EULER} again."
        )
    for key, what in _OTHER_LINES.items():
        if config.get(key):
            raise UnsupportedModel(f"{name} {what}: set its {key} to False.")


def goes_by_betas(scheduler: Any) -> bool:
    """Return whether a solver has a table of betas, whose timesteps end one before their number, at pure noise."""
    return hasattr(scheduler, "alphas_cumprod")


def check_betas(scheduler: Any, what: str) -> None:
    """Check that a solver goes by betas, which something needs.

    Args:
        scheduler: Of diffusers.
        what: The thing that needs them, in the message.

    Raises:
        UnsupportedModel: It is a flow's.
    """
    if not goes_by_betas(scheduler):
        raise UnsupportedModel(f"{what} is of schedules of betas, and this is a flow model, which has none.")


def flow_euler(trained: Any) -> Any:
    """Return Euler's method with the shift of a pipeline's scheduler, or without any for None."""
    from diffusers import FlowMatchEulerDiscreteScheduler

    if trained is None or type(trained).__name__ == EULER:
        scheduler = FlowMatchEulerDiscreteScheduler.from_config(trained.config if trained is not None else {})
    else:
        steps = trained.config.num_train_timesteps
        own = {key: trained.config[key] for key in _DYNAMIC if trained.config.get(key) is not None}
        scheduler = FlowMatchEulerDiscreteScheduler(num_train_timesteps=steps, shift=shift_of(trained), **own)
    # What the samplers of betas have, and of which this one is without.
    scheduler.init_noise_sigma = 1.0
    scheduler.scale_model_input = _as_it_is
    return scheduler


def flow_dpm(trained: Any) -> Any:
    """Return DPM-Solver++ (Lu et al. 2022, arXiv 2211.01095) with the shift of a pipeline's scheduler.

    Raises:
        UnsupportedModel: The shift is a linear dynamic one, which diffusers' DPM-Solver++ has not.
    """
    from diffusers import DPMSolverMultistepScheduler

    if type(trained).__name__ == DPM:
        return DPMSolverMultistepScheduler.from_config(trained.config)
    return DPMSolverMultistepScheduler(
        num_train_timesteps=trained.config.num_train_timesteps if trained is not None else 1000,
        prediction_type="flow_prediction",
        use_flow_sigmas=True,
        flow_shift=shift_of(trained),
        **_dynamic(trained),
    )


def _dynamic(trained: Any) -> dict[str, Any]:
    config: Mapping[str, Any] = trained.config if trained is not None else {}
    if not config.get("use_dynamic_shifting"):
        return {}
    if config.get("time_shift_type", "exponential") != "exponential":
        raise UnsupportedModel(
            "dpm takes exponential shifts alone, and this scheduler's is linear: take ddim or euler."
        )
    return {"use_dynamic_shifting": True, "time_shift_type": "exponential"}


def set_flow_steps(scheduler: Any, steps: int, trained: Any, tokens: int, *, is_even: bool, shift: Shift) -> None:
    """Set the timesteps of a flow's solver, on the CPU, where reading them does not wait for the device.

    Args:
        scheduler: From `flow_euler` or `flow_dpm`.
        steps: As many.
        trained: The pipeline's scheduler, with the sizes and shifts of a dynamic shift; None for none.
        tokens: Of the picture.
        is_even: Is σ spaced evenly from 1 to 1/N before the shift, and not as the scheduler has it?
        shift: Of schedulers whose shift is dynamic.

    Raises:
        BadArgument: One step of a schedule whose last σ is set.
    """
    if steps < 2 and scheduler.config.get("shift_terminal"):
        raise BadArgument("One step cannot both begin at pure noise and end at the schedule's shift_terminal: take 2.")
    how: dict[str, Any] = {"device": "cpu"}
    if scheduler.config.get("use_dynamic_shifting"):
        how["mu"] = shift(trained.config, tokens, steps)
    if is_even and not goes_by_betas(scheduler):
        how["sigmas"] = np.linspace(1.0, 1 / steps, steps)
    scheduler.set_timesteps(steps, **how)


def dynamic_shift(config: Mapping[str, Any], tokens: int, steps: int) -> float:
    """Return μ for a picture of so many tokens, on the line through a smallest and a largest size (Esser et al. 2024).

    Args:
        config: Of the scheduler; what it lacks is as in diffusers' pipelines.
        tokens: Of the picture.
        steps: Any number: it does not count here.

    Example:
        >>> dynamic_shift({}, 256, 10), round(dynamic_shift({}, 4096, 10), 4)
        (0.5, 1.15)
    """
    base, most = config.get("base_image_seq_len", 256), config.get("max_image_seq_len", 4096)
    low, high = config.get("base_shift", 0.5), config.get("max_shift", 1.15)
    slope = (high - low) / (most - base)
    return float(tokens * slope + (low - slope * base))


_MOST_TOKENS = 4300
_SHIFT_OF_10 = (8.73809524e-05, 1.89833333)
_SHIFT_OF_200 = (0.00016927, 0.45666666)


def fitted_shift(config: Mapping[str, Any], tokens: int, steps: int) -> float:
    """Return μ as it was fitted for FLUX.2: linear in the tokens, and in the steps between 10 and 200.

    Args:
        config: Of the scheduler, which does not count.
        tokens: Of the picture; from 4,300 on the steps do not count.
        steps: As many.

    Example:
        >>> round(fitted_shift({}, 4096, 50), 4), round(fitted_shift({}, 4096, 200), 4)
        (2.0234, 1.15)
    """
    of_10, of_200 = (slope * tokens + start for slope, start in (_SHIFT_OF_10, _SHIFT_OF_200))
    if tokens > _MOST_TOKENS:
        return of_200
    slope = (of_200 - of_10) / 190.0
    return slope * steps + of_200 - 200.0 * slope


def shift_of(trained: Any) -> float:
    """Return s of σ′ = s·σ/(1 + (s − 1)·σ), 1 for None."""
    if trained is None:
        return 1.0
    config = trained.config
    return float(config.get("shift", config.get("flow_shift", 1.0)))


def _as_it_is(x: Any, t: Any = None) -> Any:
    return x
