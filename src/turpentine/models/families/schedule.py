"""The forward process x_t = α(t)·x₀ + σ(t)·n of a family, and what its network predicts about it.

A schedule says how much picture and how much noise x_t holds: `Betas` for Stable Diffusion's (α² + σ² = 1),
`RectifiedFlow` for a straight line (α = 1 − σ). A parametrisation wraps a schedule once and turns the network's output
into ε or x₀, so that no sampler, method or instrument asks which of them a network predicts:

| class | output | ε | x₀ |
|---|---|---|---|
| Epsilon | n | output | (x − σ·output)/α |
| Velocity | α·n − σ·x₀ (Salimans and Ho 2022, arXiv 2202.00512) | α·output + σ·x | α·x − σ·output |
| Flow | n − x₀ (Liu et al. 2022, arXiv 2209.03003) | x + (1 − σ)·output | x − σ·output |

Solvers of betas follow ε. Those of a straight line follow the output itself, for ε is x where there is only noise.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from turpentine.core.errors import UnknownName, UnsupportedModel
from turpentine.models.families.alpha_bar import SMALLEST_ALPHA_BAR, alpha_bar_at, are_apart, lifted
from turpentine.models.families.flow_solvers import Shift, dynamic_shift, flow_dpm, flow_euler, set_flow_steps
from turpentine.models.solvers import NOISY, SOLVERS

_OWN_LEVELS = ("use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas")
_LEVELS = {*_OWN_LEVELS, "use_lu_lambdas", "interpolation_type"}
_LEVELS_APART = 1e-3

Unit = Literal["eps", "output"]
"""What a difference of two predictions is in: the noise ε, or the network's own output."""
Times = int | Shaped[Tensor, "*rows"]
Latents = Float[Tensor, "batch ..."]


@runtime_checkable
class Schedule(Protocol):
    """How much picture and how much noise x_t holds, by timestep.

    Attributes:
        training_steps: Number of timesteps; they run from 0, next to the picture, to `training_steps` − 1.
    """

    @property
    def training_steps(self) -> int:
        """Number of timesteps of the training schedule."""
        ...

    def alpha(self, t: Times) -> Float[Tensor, "*rows"]:
        """Return α(t), the factor of the picture in x_t, 0 to 1."""
        ...

    def sigma(self, t: Times) -> Float[Tensor, "*rows"]:
        """Return σ(t), the factor of the noise in x_t, 0 to 1."""
        ...

    def variance(self, t: Times) -> Float[Tensor, "*rows"]:
        """Return σ(t)², the variance of the noise in x_t, 0 to 1."""
        ...

    def scales(self, t: Times, like: Latents) -> tuple[Float[Tensor, "rows ..."], Float[Tensor, "rows ..."]]:
        """Return α(t) and σ(t) in the number format of `like`, shaped to multiply its rows."""
        ...

    def add_noise(self, x0: Latents, noise: Latents, t: Times) -> Latents:
        """Return x_t = α(t)·x₀ + σ(t)·noise, with one timestep for all rows or one for each."""
        ...

    def solver(self, name: str) -> Any:
        """Return a fresh diffusers scheduler on this schedule that takes ε.

        Raises:
            UnknownName: There is no solver of this name.
        """
        ...

    def set_steps(self, scheduler: Any, steps: int, latent: tuple[int, int]) -> None:
        """Set the timesteps of a solver as the family's pipeline does.

        Args:
            scheduler: From `solver`.
            steps: As many.
            latent: Height and width of the latents.
        """
        ...

    def check(self, scheduler: Any) -> None:
        """Check that a solver whose timesteps are set draws what diffusers would with this network.

        Raises:
            UnsupportedModel: Its noise is not that of its timesteps, and the network is read by these.
        """
        ...


@dataclass(frozen=True)
class Betas:
    """A variance-preserving schedule of betas: α = √ᾱ, σ = √(1 − ᾱ).

    Between two whole timesteps lies what diffusers' Euler solver takes there: σ/α is linear in t, and its logarithm
    where the schedule's own noise levels (Karras's, exponential, beta) are turned into timesteps.

    Args:
        trained: The pipeline's diffusers scheduler, with the betas that the network was trained on.
    """

    trained: Any
    _tables: dict[torch.device, Tensor] = field(default_factory=dict, repr=False, compare=False)

    @property
    def training_steps(self) -> int:
        """Number of timesteps of the training schedule."""
        return len(self.trained.alphas_cumprod)

    def alpha_bar(self, t: Times) -> Float[Tensor, "*rows"]:
        """Return ᾱ at timesteps: the share of the picture in the variance of x_t, 0 to 1; 2⁻²⁴ stands for 0."""
        at = torch.as_tensor(t)
        logarithmic = at.is_floating_point() and any(map(self.trained.config.get, _OWN_LEVELS))
        return alpha_bar_at(self._table(at.device), at, logarithmic=logarithmic)

    def alpha(self, t: Times) -> Float[Tensor, "*rows"]:
        """Return √ᾱ."""
        return self.alpha_bar(t).sqrt()

    def sigma(self, t: Times) -> Float[Tensor, "*rows"]:
        """Return √(1 − ᾱ)."""
        return self.variance(t).sqrt()

    def variance(self, t: Times) -> Float[Tensor, "*rows"]:
        """Return 1 − ᾱ."""
        return 1 - self.alpha_bar(t)

    def scales(self, t: Times, like: Latents) -> tuple[Float[Tensor, "rows ..."], Float[Tensor, "rows ..."]]:
        """Return α(t) and σ(t) in the number format of `like`, shaped to multiply its rows."""
        alpha_bar = _by_row(self.alpha_bar(_beside(t, like)), like)
        return alpha_bar.sqrt(), (1 - alpha_bar).sqrt()

    def add_noise(self, x0: Latents, noise: Latents, t: Times) -> Latents:
        """Return x_t = √ᾱ·x₀ + √(1 − ᾱ)·noise, with one timestep for all rows or one for each."""
        alpha, sigma = self.scales(t, x0)
        return alpha * x0 + sigma * noise

    def solver(self, name: str) -> Any:
        """Return a fresh diffusers scheduler on these betas that takes ε.

        Raises:
            UnknownName: There is no solver of this name.
            UnsupportedModel: The pipeline's scheduler has another table than its config says.
        """
        import diffusers

        if name not in SOLVERS:
            raise UnknownName(f"No solver is called {name!r}: there are {', '.join(SOLVERS)}.")
        kind, settings = SOLVERS[name]
        scheduler = getattr(diffusers, kind).from_config(self.trained.config, prediction_type="epsilon", **settings)
        scheduler.alphas_cumprod = lifted(scheduler.alphas_cumprod)
        own, trained = scheduler.alphas_cumprod, lifted(self.trained.alphas_cumprod.to(scheduler.alphas_cumprod))
        if scheduler.config.num_train_timesteps != len(own) or len(own) != len(trained) or are_apart(own, trained):
            raise UnsupportedModel(
                f"{type(self.trained).__name__}'s alphas_cumprod are not those of its config's betas, and every solver "
                "is made from these: set trained_betas in its config, or leave the table as it was made."
            )
        return scheduler

    def set_steps(self, scheduler: Any, steps: int, latent: tuple[int, int]) -> None:
        """Set the timesteps of a solver, on the CPU, where reading them does not wait for the device."""
        scheduler.set_timesteps(steps, device="cpu")

    def check(self, scheduler: Any) -> None:
        """Check that a solver whose timesteps are set draws what diffusers would with this network.

        A network that predicts v is read by the α and σ of its timestep. Some settings give a solver noise of another
        level than its timestep's, which only a network that predicts ε has no use for.

        Args:
            scheduler: From `solver`.

        Raises:
            UnsupportedModel: The network predicts v, and the solver's noise is not that of its timesteps.
        """
        if self.trained.config.get("prediction_type") != "v_prediction":
            return
        alpha_bar, levels = self.alpha_bar(scheduler.timesteps), getattr(scheduler, "sigmas", None)
        if alpha_bar.min() < SMALLEST_ALPHA_BAR / 2:
            raise UnsupportedModel(
                f"{self.trained.config.beta_schedule!r} betas leave less of the picture at timestep "
                f"{int(scheduler.timesteps[0])} than v of fp32 can say: leave out that timestep by "
                "timestep_spacing='leading'."
            )
        if levels is None:
            return
        apart = (((1 - alpha_bar) / alpha_bar).sqrt() / levels[: len(alpha_bar)] - 1).abs().max()
        if apart > _LEVELS_APART:
            odd = [f"{key}={value!r}" for key, value in self.trained.config.items() if key in _LEVELS and value]
            raise UnsupportedModel(
                f"{type(scheduler).__name__} with {' and '.join(odd)} takes other noise than its timesteps have, and a "
                "v-prediction network is read by these: take another solver, or leave the setting out."
            )

    def _table(self, device: torch.device) -> Float[Tensor, " train"]:
        # Kept by device: a copy in each step would let the device wait.
        if device not in self._tables:
            self._tables[device] = lifted(self.trained.alphas_cumprod.float().to(device))
        return self._tables[device]


@dataclass(frozen=True)
class RectifiedFlow:
    """A straight line from picture to noise: α = 1 − σ, and σ is the timestep as a share of the schedule.

    Args:
        training_steps: T; the timestep t stands for σ = t/T, and pure noise is t = T.
        trained: The pipeline's diffusers scheduler, whose shift decides which σ a solver takes; None for no shift.
        patch: Latent pixels to a side of a token; a dynamic shift hangs on how many tokens there are.
        is_even: Does the family's pipeline space σ evenly from 1 to 1/N before the shift, whatever its scheduler does?
        shift: Of schedulers whose shift is dynamic.
    """

    training_steps: int = 1000
    trained: Any = None
    patch: int = 1
    is_even: bool = False
    shift: Shift = dynamic_shift

    def alpha(self, t: Times) -> Float[Tensor, "*rows"]:
        """Return 1 − σ."""
        return 1 - self.sigma(t)

    def sigma(self, t: Times) -> Float[Tensor, "*rows"]:
        """Return t/T."""
        return torch.as_tensor(t) / self.training_steps

    def variance(self, t: Times) -> Float[Tensor, "*rows"]:
        """Return σ²."""
        return self.sigma(t) ** 2

    def scales(self, t: Times, like: Latents) -> tuple[Float[Tensor, "rows ..."], Float[Tensor, "rows ..."]]:
        """Return α(t) and σ(t) in the number format of `like`, shaped to multiply its rows."""
        sigma = _by_row(self.sigma(_beside(t, like)), like)
        return 1 - sigma, sigma

    def add_noise(self, x0: Latents, noise: Latents, t: Times) -> Latents:
        """Return x_t = (1 − σ)·x₀ + σ·noise, with one timestep for all rows or one for each."""
        alpha, sigma = self.scales(t, x0)
        return alpha * x0 + sigma * noise

    def solver(self, name: str) -> Any:
        """Return a fresh diffusers scheduler on this line that takes the velocity u = n − x₀.

        A step of DDIM, (1 − σ′)·x̂₀ + σ′·ε̂, is Euler's x + (σ′ − σ)·u here: "ddim" and "euler" are one.

        Raises:
            UnknownName: There is no solver of this name.
            UnsupportedModel: It is "ddpm", whose fresh noise a straight line has no place for.
        """
        if name not in SOLVERS:
            raise UnknownName(f"No solver is called {name!r}: there are {', '.join(SOLVERS)}.")
        if name in NOISY:
            raise UnsupportedModel(
                f"{name} adds fresh noise in each step, and a flow model's line from noise to picture has none: take "
                "ddim, dpm or euler."
            )
        return flow_dpm(self.trained) if name == "dpm" else flow_euler(self.trained)

    def set_steps(self, scheduler: Any, steps: int, latent: tuple[int, int]) -> None:
        """Set the timesteps of a solver, with a shift for this size where the trained scheduler has dynamic ones."""
        tokens = (latent[0] // self.patch) * (latent[1] // self.patch)
        set_flow_steps(scheduler, steps, self.trained, tokens, is_even=self.is_even, shift=self.shift)

    def check(self, scheduler: Any) -> None:
        """Accept every solver: each takes the noise of its timesteps."""


@runtime_checkable
class Parametrisation(Protocol):
    """What a network's output means, given x_t and t."""

    @property
    def followed(self) -> Unit:
        """What solvers on this schedule take, and what guidance combines."""
        ...

    def eps(self, output: Latents, x: Latents, t: Times) -> Latents:
        """Return the noise ε in x_t by the network's output."""
        ...

    def x0(self, output: Latents, x: Latents, t: Times) -> Latents:
        """Return the picture x₀ in x_t by the network's output."""
        ...

    def output(self, x0: Latents, noise: Latents, t: Times) -> Latents:
        """Return what a perfect network would give for this picture and noise: the target in training."""
        ...

    def gain(self, t: Times, like: Latents) -> Float[Tensor, "rows ..."]:
        """Return ∂ε/∂output at fixed x_t, shaped to multiply the rows of `like`."""
        ...


@dataclass(frozen=True)
class Epsilon:
    """The network predicts the noise."""

    followed: ClassVar[Unit] = "eps"
    schedule: Schedule

    def eps(self, output: Latents, x: Latents, t: Times) -> Latents:
        """Return the output as it is."""
        return output

    def x0(self, output: Latents, x: Latents, t: Times) -> Latents:
        """Return (x − σ·ε)/α."""
        alpha, sigma = self.schedule.scales(t, x)
        return (x - sigma * output) / alpha

    def output(self, x0: Latents, noise: Latents, t: Times) -> Latents:
        """Return the noise."""
        return noise

    def gain(self, t: Times, like: Latents) -> Float[Tensor, "rows ..."]:
        """Return 1."""
        return torch.ones_like(self.schedule.scales(t, like)[0])


@dataclass(frozen=True)
class Velocity:
    """The network predicts v = α·n − σ·x₀ on a schedule with α² + σ² = 1."""

    followed: ClassVar[Unit] = "eps"
    schedule: Schedule

    def eps(self, output: Latents, x: Latents, t: Times) -> Latents:
        """Return α·v + σ·x."""
        alpha, sigma = self.schedule.scales(t, x)
        return alpha * output + sigma * x

    def x0(self, output: Latents, x: Latents, t: Times) -> Latents:
        """Return α·x − σ·v."""
        alpha, sigma = self.schedule.scales(t, x)
        return alpha * x - sigma * output

    def output(self, x0: Latents, noise: Latents, t: Times) -> Latents:
        """Return α·n − σ·x₀."""
        alpha, sigma = self.schedule.scales(t, x0)
        return alpha * noise - sigma * x0

    def gain(self, t: Times, like: Latents) -> Float[Tensor, "rows ..."]:
        """Return α."""
        return self.schedule.scales(t, like)[0]


@dataclass(frozen=True)
class Flow:
    """The network predicts the velocity u = n − x₀ of a straight line, where α = 1 − σ."""

    followed: ClassVar[Unit] = "output"
    schedule: Schedule

    def eps(self, output: Latents, x: Latents, t: Times) -> Latents:
        """Return x + (1 − σ)·u."""
        alpha, _ = self.schedule.scales(t, x)
        return x + alpha * output

    def x0(self, output: Latents, x: Latents, t: Times) -> Latents:
        """Return x − σ·u."""
        _, sigma = self.schedule.scales(t, x)
        return x - sigma * output

    def output(self, x0: Latents, noise: Latents, t: Times) -> Latents:
        """Return n − x₀."""
        return noise - x0

    def gain(self, t: Times, like: Latents) -> Float[Tensor, "rows ..."]:
        """Return α, which is 1 − σ."""
        return self.schedule.scales(t, like)[0]


PARAMETRISATIONS: dict[str, type[Epsilon] | type[Velocity] | type[Flow]] = {
    "epsilon": Epsilon,
    "v_prediction": Velocity,
    "flow_prediction": Flow,
}
"""By diffusers' name of the prediction."""


def _beside(t: Times, like: Tensor) -> Tensor:
    # Waiting for the copy would let the device run dry between two steps.
    return torch.as_tensor(t).to(like.device, non_blocking=True)


def _by_row(values: Tensor, like: Tensor) -> Tensor:
    return values.to(like.dtype).reshape(-1, *[1] * (like.ndim - 1))
