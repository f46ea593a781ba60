"""diffusers schedulers that take the velocity of a straight line from noise to picture, and what they must be like."""

from __future__ import annotations

from typing import Any

from turpentine.core.errors import UnsupportedModel

EULER, DPM = "FlowMatchEulerDiscreteScheduler", "DPMSolverMultistepScheduler"

# Settings of a scheduler that change what is drawn and that no solver here honours.
_OTHER_LINES = {
    "use_dynamic_shifting": "takes another shift for each size of picture",
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
        scheduler = FlowMatchEulerDiscreteScheduler(num_train_timesteps=steps, shift=shift_of(trained))
    # What the samplers of betas have, and of which this one is without.
    scheduler.init_noise_sigma = 1.0
    scheduler.scale_model_input = _as_it_is
    return scheduler


def flow_dpm(trained: Any) -> Any:
    """Return DPM-Solver++ (Lu et al. 2022, arXiv 2211.01095) with the shift of a pipeline's scheduler."""
    from diffusers import DPMSolverMultistepScheduler

    if type(trained).__name__ == DPM:
        return DPMSolverMultistepScheduler.from_config(trained.config)
    return DPMSolverMultistepScheduler(
        num_train_timesteps=trained.config.num_train_timesteps if trained is not None else 1000,
        prediction_type="flow_prediction",
        use_flow_sigmas=True,
        flow_shift=shift_of(trained),
    )


def shift_of(trained: Any) -> float:
    """Return s of σ′ = s·σ/(1 + (s − 1)·σ), 1 for None."""
    if trained is None:
        return 1.0
    config = trained.config
    return float(config.get("shift", config.get("flow_shift", 1.0)))


def _as_it_is(x: Any, t: Any = None) -> Any:
    return x
