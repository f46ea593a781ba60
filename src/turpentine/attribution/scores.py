"""Attributions as tables: per weight, layer, module and head."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import polars as pl
import torch
from jaxtyping import Float, Int
from torch import Tensor

from turpentine.attribution.objective import Objective
from turpentine.models.model import Model
from turpentine.models.sites import Level, Site

# Which axis of an attention's weights its heads lie along, side by side.
_HEAD_AXES = {"to_q.weight": 0, "to_k.weight": 0, "to_v.weight": 0, "to_out.0.weight": 1}
_SIGNS = {"positive": 1.0, "negative": -1.0}


class _Share(NamedTuple):
    """The α of a site that a row of a table sums, or some of it."""

    site: Site
    alpha: Tensor


@dataclass(frozen=True, eq=False)
class Approximation:
    """Predicted and measured J(w) − J(w̃) of random subsets of weights set to 0, and how well they agree.

    Attributes:
        predicted: Σ α over each subset.
        measured: By computing J again.
        share: Of the weights, in each subset.
        r: Pearson's correlation of the two.
        low: Lower end of the 95 % interval of r, by Fisher's transformation.
        high: Upper end of it.
    """

    predicted: Float[np.ndarray, " trial"]
    measured: Float[np.ndarray, " trial"]
    share: float
    r: float
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class Attribution:
    """α_i = w_i·∂J/∂w_i of the weights of a selection.

    The tables have a row for each part, in order of execution: `site`, its dotted name; `label` and `kind`; `alpha`,
    the sum over its weights, and the sums of the `positive` and the `negative` ones; and how many `weights` it has.

    Attributes:
        alpha: By the weight's dotted name, in the weight's shape, fp32, on the model's device. α > 0 says that J falls
            when the weight is set to 0.
        value: J.
        objective: The terms that J is the mean of.
        model: Whose weights they are.
        check: How far the first order holds, where that was measured.
    """

    alpha: Mapping[str, Tensor]
    value: float
    objective: Objective
    model: Model
    check: Approximation | None = None

    def layers(self) -> pl.DataFrame:
        """Return a row for each linear or convolution layer."""
        return _table(self._parts("layer"))

    def modules(self) -> pl.DataFrame:
        """Return a row for each attention, feed-forward network, resnet, ...: α summed over its layers."""
        return _table(self._parts("module"))

    def heads(self) -> pl.DataFrame:
        """Return a row for each head of each selected attention, with the column `head`, from 0.

        A head has its own rows of the queries', keys' and values' weights, and its own columns of the output's.
        """
        tables = [
            _table(parts).with_columns(pl.lit(head).alias("head"))
            for attention, heads in self._attentions()
            for head, parts in enumerate(self._head_parts(attention, heads))
        ]
        return pl.concat(tables) if tables else _table(()).with_columns(pl.lit(0).alias("head"))

    def weights(self, count: int = 100, sign: Literal["positive", "negative"] = "positive") -> pl.DataFrame:
        """Return the single weights with the largest positive α, or the largest negative.

        Columns: `site`, the layer; `label`, `kind`; `row`, the output neuron or channel; `column`, the position in its
        row; `alpha`; `weight`, its value.

        Args:
            count: Weights, at most.
            sign: Of α.
        """
        tables = [self._top(site, name, count, _SIGNS[sign]) for site, name in self._named("layer")]
        return pl.concat(tables).sort("alpha", descending=sign == "positive").head(count)

    def predicted(self, positions: Mapping[str, Int[Tensor, " position"]]) -> float:
        """Return Σ α: how far J falls, to first order, when some weights are set to 0.

        Args:
            positions: In the flattened weights, by name.
        """
        zeroed = ((self.alpha[name].flatten(), at) for name, at in positions.items())
        return float(sum(alpha[at.to(alpha.device)].double().sum() for alpha, at in zeroed))

    def _named(self, level: Level) -> Iterator[tuple[Site, str]]:
        """Yield the name of each weight with the site that it is in; a lone layer is its own module."""
        sites: dict[str, Site] = {}
        for site in sorted(self.model.sites, key=lambda site: site.level == level):
            sites |= dict.fromkeys(site.parameters, site)
        yield from ((sites[name], name) for name in self.alpha)

    def _parts(self, level: Level) -> Iterator[_Share]:
        yield from (_Share(site, self.alpha[name]) for site, name in self._named(level))

    def _attentions(self) -> Iterator[tuple[Site, int]]:
        for site in dict.fromkeys(site for site, _ in self._named("module")):
            heads = getattr(self.model.module(site.name), "heads", None)
            if heads is not None:
                yield site, int(heads)

    def _head_parts(self, attention: Site, heads: int) -> Iterator[list[_Share]]:
        inside = {name: self.alpha[name] for name in attention.parameters if name in self.alpha}
        split = [tensor.chunk(heads, dim=_axis(attention, name)) for name, tensor in inside.items()]
        yield from ([_Share(attention, tensor) for tensor in of_head] for of_head in zip(*split, strict=True))

    def _top(self, site: Site, name: str, count: int, sign: float) -> pl.DataFrame:
        alpha = self.alpha[name].flatten()
        value, at = (sign * alpha).topk(min(count, len(alpha)))
        at = at[value > 0]
        wide = self.alpha[name][0].numel()
        weight = self.model.parameter(name).detach().flatten()[at].float()
        place = {"row": at // wide, "column": at % wide, "alpha": alpha[at], "weight": weight}
        labels = {"site": site.name, "label": site.label, "kind": site.kind}
        rows = pl.DataFrame({key: each.cpu().numpy() for key, each in place.items()})
        return rows.select(*(pl.lit(text).alias(key) for key, text in labels.items()), pl.all())


def _axis(attention: Site, name: str) -> int:
    return _HEAD_AXES[name.removeprefix(f"{attention.name}.")]


def _table(parts: Iterable[_Share]) -> pl.DataFrame:
    """Sum the parts of one site in one row, in the order in which the sites come."""
    schema = {"site": pl.String, "label": pl.String, "kind": pl.String}
    sums = {"alpha": pl.Float64, "positive": pl.Float64, "negative": pl.Float64, "weights": pl.Int64}
    rows = [(part.site.name, part.site.label, part.site.kind, *_sums(part.alpha)) for part in parts]
    every = pl.DataFrame(rows, schema={**schema, **sums}, orient="row")
    return every.group_by(list(schema), maintain_order=True).sum()


def _sums(alpha: Tensor) -> tuple[float, float, float, int]:
    positive = float(alpha.clamp(min=0).sum(dtype=torch.float64))
    negative = float(alpha.clamp(max=0).sum(dtype=torch.float64))
    return positive + negative, positive, negative, alpha.numel()
