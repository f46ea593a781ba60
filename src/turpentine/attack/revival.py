"""Revival: what an edit set to zero is filled in from the weights around it, without a picture or a gradient."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from turpentine.attack.harness import Attack
from turpentine.attack.search import Need, Search
from turpentine.core.settings import Count

if TYPE_CHECKING:
    from torch import Tensor

    from turpentine.attack._stages import SearchStage
    from turpentine.edits import Edit
    from turpentine.models import Model


@dataclass(frozen=True)
class Revival(Attack):
    """Fill weights that are exactly 0 from those that are not, and draw again.

    Who knows where an edit zeroed weights, from its file or because they are 0, needs neither data nor training to try
    ("Roots beneath the cut", arXiv 2603.06640, show that this can suffice; how they fill is not public, and what is
    here is simpler). "mean" takes the mean of the row's other weights. "low-rank" takes a matrix of that rank that
    agrees with the weights that are there: from the row means, the zeros are replaced by what the best approximation of
    the rank has in their places, again and again (Mazumder et al. 2010, hard-impute). A convolution counts as a matrix
    of rows by all else.

    Looked at are the weights that the edits change, of two dimensions or more; in a model without edits, all. Where
    there is no zero the artefact changes nothing.

    Args:
        fill: How.
        rank: Of "low-rank".
        rounds: Of "low-rank".

    Example:
        >>> Revival(fill="mean").rounds
        20
    """

    name: ClassVar[str] = "revival"
    needs: ClassVar[frozenset[Need]] = frozenset({"weights"})
    free: ClassVar[bool] = True

    fill: Literal["low-rank", "mean"] = "low-rank"
    rank: Count = 16
    rounds: Count = 20

    def search(self, search: Search, state: dict[str, Any] | None) -> Iterator[SearchStage]:
        """Fill each weight."""
        from turpentine.attack._stages import SearchStage

        names = list(dict.fromkeys(name for edit in search.victim.edits for name in edit.names))
        deltas: dict[str, Tensor] = {}
        zeros = weights = 0
        with search.victim.on() as model:
            names = names or list(model.sites.parameters())
            matrices = [name for name in names if model.parameter(name).ndim > 1]
            for number, name in enumerate(matrices):
                weight = model.parameter(name).detach().float()
                zeros, weights = zeros + int((weight == 0).sum()), weights + weight.numel()
                if (weight == 0).any():
                    deltas[name] = self._filled(weight.flatten(1)).reshape(weight.shape) - weight
                search.advance(number + 1, len(matrices))
            edit = _as_edit(deltas, search, model)
        measured = {"zeros": zeros, "share of zeros": zeros / max(1, weights), "tensors with zeros": len(deltas)}
        yield SearchStage(edit, measurements=measured)

    def _filled(self, weight: Tensor) -> Tensor:
        from turpentine.attack._filling import low_rank_filled, mean_filled

        return mean_filled(weight) if self.fill == "mean" else low_rank_filled(weight, self.rank, self.rounds)


def _as_edit(deltas: Mapping[str, Tensor], search: Search, model: Model) -> Edit:
    """Return the edit that fills; one that changes nothing where there is nothing to fill."""
    import torch

    from turpentine.edits import Edit, Provenance
    from turpentine.edits.edit import stack_of

    first = model.sites.parameters()[0]
    provenance = Provenance(
        method=Revival.name,
        concepts=(search.concept,),
        base=model.fingerprint,
        model=model.name,
        onto=stack_of(model).ids,
    )
    return Edit(deltas or {first: torch.zeros_like(model.parameter(first))}, provenance)
