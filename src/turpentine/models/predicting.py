"""What a model's denoiser predicts, whichever of noise, velocity or flow its output is."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Shaped
from torch import Tensor

from turpentine.models.conditioning import Conditioning
from turpentine.models.families.schedule import Unit
from turpentine.models.interface import Latents
from turpentine.models.pretrained import Pretrained


class Predicting(Pretrained):
    """A model whose denoiser is asked for predictions; see `Model`."""

    def eps(
        self,
        x: Latents,
        t: int | Shaped[Tensor, "*rows"],
        cond: Conditioning,
        *,
        parameters: Mapping[str, Tensor] | None = None,
    ) -> Latents:
        """Return the predicted noise ε(x_t, c), whatever the network itself predicts, in the dtype of `x`.

        Args:
            x: x_t = α(t)·x₀ + σ(t)·ε, scaled so by all solvers.
            t: One timestep, or one for each row.
            cond: A row for each of `x`.
            parameters: Tensors that stand in for the denoiser's weights of those dotted names in this call only.

        Raises:
            UnknownName: A name that is no parameter of the denoiser.
        """
        output, at = self._output(x, t, cond, parameters)
        return self.family.parametrisation.eps(output, x, at)

    def followed(
        self,
        x: Latents,
        t: int | Shaped[Tensor, "*rows"],
        cond: Conditioning,
        *,
        parameters: Mapping[str, Tensor] | None = None,
    ) -> Latents:
        """Return the prediction that solvers take: ε(x_t, c), or the velocity n − x₀ of a flow model.

        Both are affine in the network's output at fixed x_t, so that guidance and targets of training that weigh
        predictions by numbers whose sum is 1 are the same in either. At pure noise a flow model's ε is x itself.

        Args:
            x: As in `eps`.
            t: As in `eps`.
            cond: As in `eps`.
            parameters: As in `eps`.
        """
        output, at = self._output(x, t, cond, parameters)
        parametrisation = self.family.parametrisation
        return output if parametrisation.followed == "output" else parametrisation.eps(output, x, at)

    def rescaled(self, apart: Latents, t: int | Shaped[Tensor, "*rows"], unit: Unit) -> Latents:
        """Return a difference of two predictions of `followed` as one of the network's outputs, or one of ε.

        Args:
            apart: The difference, a row for each of `t`, or for the one there is.
            t: Timesteps.
            unit: "output" or "eps".
        """
        parametrisation = self.family.parametrisation
        if unit == parametrisation.followed:
            return apart
        gain = parametrisation.gain(t, apart)
        return apart / gain if unit == "output" else apart * gain

    def perfect(self, x0: Latents, noise: Latents, t: int | Shaped[Tensor, "*rows"]) -> Latents:
        """Return what `followed` of a perfect network is at this noise of this picture: the noise, or noise − x₀."""
        parametrisation = self.family.parametrisation
        return parametrisation.output(x0, noise, t) if parametrisation.followed == "output" else noise

    def _output(
        self, x: Latents, t: int | Shaped[Tensor, "*rows"], cond: Conditioning, parameters: Mapping[str, Tensor] | None
    ) -> tuple[Latents, Shaped[Tensor, "*rows"]]:
        """Return the network's own output in the dtype of `x`, and the timesteps beside it."""
        # Waiting for the copy would let the device run dry between two steps.
        at = torch.as_tensor(t).to(x.device, non_blocking=True)
        return self.family.predict(x, at, cond, parameters or {}).to(x.dtype), at
