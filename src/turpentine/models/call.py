"""One call of a module inside the network, as hooks see it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from turpentine.models.sites import Site
from turpentine.models.windows import Moment


@dataclass(frozen=True, eq=False)
class Call:
    """One call of a module at a site, given to the functions that `hooked` puts there.

    Args:
        site: The site whose module is called.
        module: The module itself.
        args: Positional arguments of the call.
        kwargs: Keyword arguments of the call.
        output: What the module returned; None in a function put on before it.
        moment: The sampler's step, None outside of a sampler.
    """

    site: Site
    module: nn.Module
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    output: Any
    moment: Moment | None

    @property
    def rows(self) -> slice:
        """The rows that are the prompts', and not those of ∅ or a guidance; outside of a sampler, all."""
        return self.moment.conditional if self.moment else slice(None)

    @property
    def tensor(self) -> Tensor:
        """The output; of modules that return several things, as a text encoder's attention does, the first.

        Of a site that is a slice of a layer, its part.
        """
        tensor: Tensor = self.output[0] if isinstance(self.output, tuple) else self.output
        return tensor if self.site.rows is None else tensor[..., slice(*self.site.rows)]

    def with_tensor(self, tensor: Tensor) -> Any:
        """Return the output with another tensor in the place of `tensor`."""
        if self.site.rows is not None:
            first, stop = self.site.rows
            return torch.cat([self.output[..., :first], tensor, self.output[..., stop:]], dim=-1)
        return (tensor, *self.output[1:]) if isinstance(self.output, tuple) else tensor

    def with_tokens(self, tokens: Tensor, where: slice) -> Any:
        """Return the output with others of its tokens on the prompts' rows."""
        tensor = self.tensor.clone()
        tensor[self.rows, where] = tokens
        return self.with_tensor(tensor)
