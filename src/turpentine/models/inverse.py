"""The steps of DDIM backwards, from a picture to the noise that it began as."""

from __future__ import annotations

from dataclasses import dataclass

from turpentine.models.families.flow_solvers import check_betas
from turpentine.models.interface import TextToImage
from turpentine.models.sampler import started


@dataclass(frozen=True)
class InverseStep:
    """A step of DDIM, which takes z to z′, backwards: z = a·z′ + b·ε(z).

    With ᾱ at z and ᾱ′ at z′, a = √(ᾱ/ᾱ′) and b = √(1 − ᾱ) − √(ᾱ(1 − ᾱ′)/ᾱ′).

    Args:
        index: In the sampler's order.
        t: The timestep at which ε(z) is taken.
        a: Factor of z′.
        b: Factor of ε(z).
    """

    index: int
    t: int
    a: float
    b: float


def inverse_steps(model: TextToImage, steps: int) -> list[InverseStep]:
    """Return the steps from the picture to the noise.

    Args:
        model: What is sampled.
        steps: Of the sampler.

    Raises:
        BadArgument: The number of steps is out of range.
        UnsupportedModel: It is a flow model.

    Example:
        >>> [step.index for step in inverse_steps(model, 3)]
        [2, 1, 0]
    """
    solver = started(model, "ddim", steps)
    check_betas(solver, "DDIM's inversion")
    table, length = solver.alphas_cumprod.double(), solver.config.num_train_timesteps // steps
    result = []
    for index, t in reversed(list(enumerate(solver.timesteps.tolist()))):
        here, after = table[t], table[t - length] if t >= length else solver.final_alpha_cumprod.double()
        a = (here / after).sqrt()
        result.append(InverseStep(index, t, a.item(), ((1 - here).sqrt() - a * (1 - after).sqrt()).item()))
    return result
