"""What walks of all architectures share: a module on the way, the layers inside it, and the sites of both."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from torch import nn

from turpentine.models.sites import DENOISER, Level, Site

KINDS = {
    "cross-attention": "attends to the text (attn2)",
    "self-attention": "attends to the picture (attn1)",
    "feed-forward": "the GEGLU network of a transformer block",
    "resnet": "a residual block, its time projection included",
    "projection": "into and out of a transformer",
    "sampler": "halves or doubles the resolution",
    "norm": "a normalisation",
    "input": "the first convolution (conv_in)",
    "output": "the last convolution (conv_out)",
    "time": "the embedding of the timestep, and of SDXL's pooled text and sizes",
    "joint-attention": "picture and text attend to both (attn of Stable Diffusion 3 and FLUX)",
    "modulation": "the shifts and scales of a transformer's block, made of the time and the pooled text",
    "context": "what a transformer's denoiser reads the text by, before its first block",
    "text-attention": "self-attention in a text encoder",
    "text-mlp": "the two-layer network in a text encoder",
    "text-embedding": "token and position embeddings",
    "text-norm": "a normalisation in a text encoder",
    "text-projection": "the projection of the pooled text",
}

_ROLES = {
    **{f"to_{letter}": role for letter, role in (("q", "query"), ("k", "key"), ("v", "value"))},
    **{f"{letter}_proj": role for letter, role in (("q", "query"), ("k", "key"), ("v", "value"))},
    "0": "output",  # of `to_out`
    "out_proj": "output",
    "o_proj": "output",  # of language models
    **{f"add_{letter}_proj": role for letter, role in (("q", "query"), ("k", "key"), ("v", "value"))},
    "to_add_out": "output",
    "q": "query",  # of T5
    "k": "key",
    "v": "value",
    "o": "output",
}
# Where modules register their layers in another order than they run them in: CLIP's k, v and q, joint attention, T5.
_RUN_FIRST = (".q_proj", ".to_q", ".to_k", ".to_v", ".norm_q", ".norm_k", ".add_q_proj", ".add_k_proj", ".add_v_proj")
_RUN_LAST = (".norm_added_q", ".norm_added_k", ".to_add_out", ".to_out.0", ".SelfAttention.o", ".o_proj")


@dataclass(frozen=True)
class Part:
    """A module on the walk: a whole with layers inside, or a lone layer.

    Args:
        path: Its dotted name.
        module: Itself.
        kind: Of its site.
        resolution: Of its site.
        label: Of its site.
        is_shell: Is it without what is inside?
        is_one_stream: Do text and picture go through the same layers?
        order: Names of the layers inside, in the order that they run in, where it is another than in most families.
        fused: Names of layers inside that are several in one, with the role of each and how many rows it has.
    """

    path: str
    module: nn.Module
    kind: str
    resolution: int = 0
    label: str = ""
    is_shell: bool = False
    is_one_stream: bool = False
    order: tuple[str, ...] = ()
    fused: Mapping[str, Mapping[str, int]] = field(default_factory=dict)


_MODULE = re.compile(
    r"(.*?\.(?:attn[12]?|attention|ff|ff_context|feed_forward|(?:img|txt)_mlp|resnets\.\d+|(?:down|up)samplers\.\d+|self_attn|mlp|SelfAttention"
    r"|DenseReluDense))\..*"
)


def module_of(parameter: str) -> str:
    """Return the module that a weight or bias is in by its dotted name, where no model is at hand: else its layer.

    Example:
        >>> module_of("unet.mid_block.attentions.0.transformer_blocks.0.attn2.to_k.weight")
        'unet.mid_block.attentions.0.transformer_blocks.0.attn2'
    """
    match = _MODULE.fullmatch(parameter)
    return match[1] if match else parameter.rpartition(".")[0]


def sites_on(parts: Iterable[Part], component: str = DENOISER) -> list[Site]:
    """Return the sites of the parts of a walk through a network, in its order."""
    return [site for part in parts for site in _sites_of(part, component)]


def _sites_of(part: Part, component: str) -> Iterator[Site]:
    if part.is_shell:
        own = tuple(name for name, _ in part.module.named_parameters(prefix=part.path, recurse=False))
        yield Site(part.path, part.kind, part.label, part.resolution, "layer", own, component)
        return
    layers = list(_layers(part))
    if any(layer.module is not part.module for layer in layers):
        yield _site(part, "module", component)
    for layer in layers:
        yield from _slices(_site(layer, "layer", component), part.fused.get(layer.path.rpartition(".")[2], {}))


def _slices(layer: Site, rows: Mapping[str, int]) -> Iterator[Site]:
    """Yield a layer, or the sites of all that are one in it."""
    first = 0
    for role, count in rows.items():
        yield replace(layer, name=f"{layer.name}:{role}", role=role, rows=(first, first + count))
        first += count
    if not rows:
        yield layer


def _layers(part: Part) -> Iterator[Part]:
    """Yield the modules inside that hold weights themselves; a norm inside a block is of the kind norm."""
    for path, module in sorted(part.module.named_modules(prefix=part.path), key=lambda item: _turn(item[0], part)):
        if next(module.parameters(recurse=False), None) is not None:
            norm = "text-norm" if part.kind.startswith("text-") else "norm"
            yield replace(part, path=path, module=module, kind=norm if _is_norm(module) else part.kind)


def _turn(path: str, part: Part) -> int:
    """Return when a layer runs inside its attention; all others have one turn, in the order that they are there."""
    if part.order:
        inside = path.removeprefix(f"{part.path}.")
        return part.order.index(inside) if inside in part.order else -1
    for turn, leaf in enumerate(_RUN_FIRST):
        if path.endswith(leaf):
            return turn
    return next((100 + turn for turn, leaf in enumerate(_RUN_LAST) if path.endswith(leaf)), 50)


def _is_norm(module: nn.Module) -> bool:
    return type(module).__name__.endswith("Norm")


def _site(part: Part, level: Level, component: str) -> Site:
    names = tuple(name for name, _ in part.module.named_parameters(prefix=part.path))
    role = _role(part) if level == "layer" and part.kind.endswith("-attention") else ""
    return Site(part.path, part.kind, part.label, part.resolution, level, names, component, role)


def _role(part: Part) -> str:
    """Return what a layer of an attention makes; of joint attention the text's layers have the plain names.

    Those that text and picture share have them, too.
    """
    leaf = part.path.rpartition(".")[2]
    role = _ROLES.get(leaf, "")
    is_shared = part.is_one_stream or leaf.startswith(("add_", "to_add_"))
    is_of_picture = part.kind == "joint-attention" and not is_shared
    return f"image-{role}" if role and is_of_picture else role
