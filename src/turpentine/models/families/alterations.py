"""What may be on a pipeline and changes what it computes, and that Turpentine would pass over: refused by name.

Edits are differences of a network's own weights, keys on disk name its own configs, and exports hold both. A layer, a
hook or a setting of another program's is in none of them. docs/pipelines.md lists what is honoured and what is refused.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from functools import cache
from inspect import signature
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn

from turpentine.core.errors import UnsupportedModel
from turpentine.models.network_parts import named_parts

# The first of these is what draws; the others are made from its parts and share them.
_PIPELINES = ("{}Pipeline", "{}Img2ImgPipeline", "{}InpaintPipeline")
_LIBRARIES = ("torch.nn.modules.", "diffusers.models.", "transformers.")
_PLAIN_ATTENTION = {
    "AttnProcessor",
    "AttnProcessor2_0",
    "SlicedAttnProcessor",
    "XFormersAttnProcessor",
    "AttnProcessorNPU",
    "XLAFlashAttnProcessor2_0",
    "JointAttnProcessor2_0",
    "SanaAttnProcessor2_0",
    "FluxAttnProcessor",
    "Flux2AttnProcessor",
    "Flux2ParallelSelfAttnProcessor",
    "QwenDoubleStreamAttnProcessor2_0",
    "ZSingleStreamAttnProcessor",
    "SanaLinearAttnProcessor2_0",
    "SanaMultiscaleAttnProcessor2_0",
}
_FORMATS = {torch.float64, torch.float32, torch.float16, torch.bfloat16}
_ADAPTED = (
    "has a LoRA of PEFT's on it: pipe.unload_lora_weights() takes it off, and pipe.fuse_lora() before that leaves it "
    "in the weights"
)
_FUSED = (
    "has fused projections, copies of its weights that no edit reaches: load the pipeline again without "
    "fuse_qkv_projections()"
)
_FREEU = ("s1", "s2", "b1", "b2")
_TELLING = frozenset({"_diffusers_hook", "_hf_hook", "_compiled_call_impl", "forward", *_FREEU})
_TELLING_PARTS = frozenset({"base_layer", "to_qkv", "to_kv", "processor"})
"""Attributes and submodules of a module without which nothing of another program's can be on it, but by its class."""
_PLAIN_WEIGHTS = (nn.Parameter, Tensor)
# Schedulers of models that were distilled to a few steps, which the solvers here do not take.
_DISTILLED = ("LCMScheduler", "TCDScheduler")
# Settings of a scheduler that change what is drawn and that no solver here honours.
_OTHER_SCHEDULES: Mapping[str, str] = {
    "use_flow_sigmas": "draws on a straight line",
    "clip_sample": "clips the picture in every step, and a latent has no range to be clipped to",
    "thresholding": "cuts off the largest values of the picture in every step, and a latent has no range to be cut to",
}

Reason = str | None


def check_class(pipeline: Any, plain: str) -> None:
    """Check that a pipeline's class draws as the plain one does.

    Args:
        pipeline: Any object with the networks as attributes.
        plain: Name of the plain class, such as "StableDiffusionPipeline".

    Raises:
        UnsupportedModel: It is another one, such as that of a ControlNet, which draws otherwise.
    """
    name, stem = type(pipeline).__name__, plain.removesuffix("Pipeline")
    # What only holds the parts draws nothing itself.
    if callable(pipeline) and name not in {form.format(stem) for form in _PIPELINES}:
        raise UnsupportedModel(
            f"{name} draws otherwise than {plain}, whose way Turpentine follows: give {plain}.from_pipe(pipeline)."
        )


def wrapper_of(network: Any) -> Reason:
    """Return what is around a network that hides its class, with the way out, or None."""
    kind: Any = type(network)
    return _wrapper(kind)


def check_unaltered(networks: Mapping[str, nn.Module], *, hooks: bool = True) -> None:
    """Check that nothing of another program's is on a model's networks.

    Args:
        networks: By name.
        hooks: Are hooks and replaced `forward`s refused, too? They are where a model is taken over; later ones may be
            an instrument's.

    Raises:
        UnsupportedModel: Something is; the message names it, where it is, and how to take it off.
    """
    for component, network in networks.items():
        formats = _plain_formats(network, hooks=hooks)
        if formats is None:
            formats = _looked_through(component, network, hooks=hooks)
        if len(formats) > 1 and not getattr(network, "_keep_in_fp32_modules", None):  # as T5 has on purpose
            raise UnsupportedModel(
                f"{component} has weights of {' and '.join(sorted(formats))}: load it in one of them."
            )
    # Offloaded weights, which are refused before, are on no device that knows of it.
    if any(torch.is_autocast_enabled(weight.device.type) for part in networks.values() for weight in _first(part)):
        raise UnsupportedModel("torch.autocast is on, and no key knows it: leave it, and load the model with dtype=.")


def _first(network: nn.Module) -> Iterator[Tensor]:
    yield from islice(network.parameters(), 1)


def check_autoencoder(autoencoder: Any, statistics: Collection[str], plain: str = "AutoencoderKL") -> None:
    """Check that an autoencoder is of its family's class, and has no setting that changes how it decodes.

    Args:
        autoencoder: The pipeline's.
        statistics: Keys of its config that this family's latents are scaled by, beside the scaling factor.
        plain: The class's name.

    Raises:
        UnsupportedModel: It is another one, such as the tiny TAESD, decodes in tiles, or has statistics that the
            family's pipeline passes over.
    """
    kind = type(autoencoder).__name__
    if autoencoder is None:
        raise UnsupportedModel("The pipeline has no autoencoder: Turpentine works on models of latents.")
    if kind != plain:
        raise UnsupportedModel(
            f"The autoencoder is a {kind}, which has no distribution of latents that Turpentine reads: put the model's "
            f"own {plain} there."
        )
    if autoencoder.use_tiling:
        raise UnsupportedModel(
            "The autoencoder decodes in tiles, which changes the picture at their seams: call disable_tiling()."
        )
    given = {key for key in ("latents_mean", "latents_std", "shift_factor") if autoencoder.config.get(key)}
    if given - set(statistics) or (given and given != set(statistics)):
        raise UnsupportedModel(
            f"The autoencoder's config has {' and '.join(sorted(given))}, which this family's pipeline passes over: "
            "set what is not meant to None."
        )


def check_text_encoder(encoder: Any, kind: str = "CLIPText", called: str = "CLIP") -> None:
    """Check that a text encoder is of the kind that its family reads.

    Args:
        encoder: The pipeline's.
        kind: How the names of its classes begin.
        called: The kind in the message.

    Raises:
        UnsupportedModel: It is another one, such as BERT.
    """
    if not type(encoder).__name__.startswith(kind):
        raise UnsupportedModel(f"The text encoder is a {type(encoder).__name__}: Turpentine reads {called}'s alone.")
    if getattr(encoder.config, "use_attention_mask", False):
        raise UnsupportedModel(
            "The text encoder's config has use_attention_mask, which hides the padding: set it to False."
        )


def check_inputs(unet: Any, channels: int, added: str | None) -> None:
    """Check that a UNet reads latents, the time and the text, and gives latents.

    Args:
        unet: diffusers' UNet.
        channels: Of a latent.
        added: What it reads beside them by its config: None or "text_time".

    Raises:
        UnsupportedModel: It reads something else, such as an IP-Adapter's pictures or LCM's guidance scale.
    """
    config = unet.config
    if config.in_channels != channels:
        raise UnsupportedModel(
            f"The UNet takes {config.in_channels} channels and a latent has {channels}: inpainting, depth and "
            "image-editing models are not text-to-image models."
        )
    for reason in _other_inputs(unet, channels, added):
        raise UnsupportedModel(f"The UNet {reason}.")


def _other_inputs(unet: Any, channels: int, added: str | None) -> Iterator[str]:
    config = unet.config
    if config.encoder_hid_dim_type or getattr(unet, "encoder_hid_proj", None) is not None:
        yield f"reads an IP-Adapter ({config.encoder_hid_dim_type}): take it off by pipe.unload_ip_adapter()"
    if config.time_cond_proj_dim is not None:
        yield "reads the guidance scale as LCM's do, distilled into its weights: give the model that it was made from"
    if config.class_embed_type is not None or config.num_class_embeds is not None:
        yield "reads a class beside the text: it is no text-to-image model of Stable Diffusion's kind"
    if config.addition_embed_type != added:
        yield f"reads {config.addition_embed_type} beside the text, where this family reads {added}"
    if config.attention_type != "default":
        yield f"has {config.attention_type} attention, as GLIGEN's, and reads boxes beside the text"
    if config.out_channels != channels:
        yield f"gives {config.out_channels} channels and a latent has {channels}: it predicts a variance, too"


def check_schedule(scheduler: Any) -> None:
    """Check that a scheduler's schedule is one that the solvers here can follow.

    Raises:
        UnsupportedModel: It has no betas, its network predicts neither ε nor v, or a setting asks for something else.
    """
    if scheduler is None:
        raise UnsupportedModel("The pipeline has no scheduler: give it that of the model's folder.")
    config, name = scheduler.config, type(scheduler).__name__
    prediction = config.get("prediction_type", "epsilon")
    if prediction not in {"epsilon", "v_prediction"} or not hasattr(scheduler, "alphas_cumprod"):
        raise UnsupportedModel(
            f"{name} with {prediction!r} prediction is not known: a model must predict 'epsilon' "
            "or 'v_prediction' on a schedule of betas."
        )
    if name in _DISTILLED:
        raise UnsupportedModel(f"{name} is for a model distilled to a few steps: give the model that it was made from.")
    if config.get("timestep_type", "discrete") != "discrete":
        raise UnsupportedModel(
            f"{name} has {config.timestep_type!r} timesteps: give the model a schedule of whole ones."
        )
    for key, what in _OTHER_SCHEDULES.items():
        if key in signature(type(scheduler)).parameters and config.get(key):
            raise UnsupportedModel(f"{name} {what}: set its {key} to False.")
    if str(config.get("variance_type")).startswith("learned"):
        raise UnsupportedModel(
            f"{name} asks for a {config.variance_type!r} variance, and these networks predict none: set its "
            "variance_type to None, or to 'fixed_small' for DDPM's."
        )


# Each module of each model that is described or draws is asked: what says at once that nothing is on it comes first,
# and what it is, in words, only where something may be.
def _plain_formats(network: nn.Module, *, hooks: bool) -> set[str] | None:
    """Return the number formats of the weights of a network that has nothing on it; None where something may be."""
    formats: set[torch.dtype] = set()
    for _, module in named_parts(network):
        own = vars(module)
        kind: Any = type(module)
        processor = own.get("processor")
        has_none = _TELLING.isdisjoint(own) and _TELLING_PARTS.isdisjoint(own["_modules"])
        if not (has_none and _is_plain_class(kind)):
            return None
        if processor is not None and type(processor).__name__ not in _PLAIN_ATTENTION:
            return None
        if (own["_forward_hooks"] or own["_forward_pre_hooks"]) if hooks else own["training"]:
            return None
        for weight in own["_parameters"].values():
            if weight is not None:
                if type(weight) not in _PLAIN_WEIGHTS or weight.is_meta or weight.is_inference():
                    return None
                formats.add(weight.dtype)
    return {str(each) for each in formats} if formats <= _FORMATS else None


@cache
def _is_plain_class(kind: Any) -> bool:
    return not (_library(kind) == "peft" or _wrapper(kind) or _foreign(kind))


def _looked_through(component: str, network: nn.Module, *, hooks: bool) -> set[str]:
    """Return the number formats of the weights of a network that has nothing on it after all.

    Raises:
        UnsupportedModel: Something is.
    """
    for path, module in network.named_modules(prefix=component):
        if reason := _alteration(module) or (_hooked(module) if hooks else _left_out(module)):
            raise UnsupportedModel(f"{path} {reason}.")
    return {str(weight.dtype) for weight in network.parameters() if weight.is_floating_point()}


# What a class says is looked up once, and a module's own dicts are read, since `getattr` on a module takes long to say
# that there is nothing.
def _alteration(module: nn.Module) -> Reason:
    """The most telling first: an offloaded layer is also one without numbers."""
    own = vars(module)
    kind: Any = type(module)
    parts = own["_modules"]
    return (
        (_ADAPTED if "base_layer" in parts or _library(kind) == "peft" else None)
        or _offloaded(own)
        or _wrapper(kind)
        or ("is compiled in place: load the pipeline again without" if own.get("_compiled_call_impl") else None)
        or (_FUSED if "to_k" in parts and ("to_qkv" in parts or "to_kv" in parts) else None)
        or _attends_otherwise(own)
        or ("has FreeU on it: call pipe.disable_freeu()" if any(own.get(key) is not None for key in _FREEU) else None)
        or _quantised(own)
        or _foreign(kind)
    )


def _left_out(module: nn.Module) -> Reason:
    """Of a model that was taken over, which ended its training: somebody has begun it again."""
    own = vars(module)
    chance = own.get("p") if isinstance(module, nn.Dropout) else own.get("dropout")
    if own["training"] and isinstance(chance, float) and chance:
        return "is in training, with layers left out by chance: call eval()"
    return None


@cache
def _wrapper(kind: Any) -> Reason:
    if kind.__name__ == "OptimizedModule":
        return "is compiled: put its _orig_mod in its place"
    if _library(kind) == "peft":
        return "is PEFT's: put what its merge_and_unload() returns in its place"
    if kind.__name__ in {"DataParallel", "DistributedDataParallel", "FullyShardedDataParallel"}:
        return f"is in a {kind.__name__}: put its module in its place"
    return None


def _offloaded(own: dict[str, Any]) -> Reason:
    registry = own.get("_diffusers_hook")
    if registry is not None and registry.hooks:
        return f"has diffusers' {' and '.join(registry.hooks)} on it: load the pipeline again without"
    hook = own.get("_hf_hook")
    if hook is not None:
        return f"is offloaded ({type(hook).__name__}): call pipe.remove_all_hooks(), or load the pipeline without"
    return None


def _attends_otherwise(own: dict[str, Any]) -> Reason:
    processor = own.get("processor", own["_modules"].get("processor"))
    kind = type(processor).__name__
    if processor is None or kind in _PLAIN_ATTENTION:
        return None
    if "IPAdapter" in kind:
        return f"has an IP-Adapter on it ({kind}): take it off by pipe.unload_ip_adapter()"
    return f"attends by {kind}, another program's: call set_default_attn_processor() of the network"


def _quantised(own: dict[str, Any]) -> Reason:
    for name, weight in own["_parameters"].items():
        if weight is None:
            continue
        if weight.is_meta:
            return f"holds no numbers in {name}: it is offloaded, or was not loaded; load the pipeline without"
        if weight.is_inference():
            return f"has its {name} from inside of torch.inference_mode(), where nothing can be edited: load it outside"
        if type(weight) not in _PLAIN_WEIGHTS or weight.dtype not in _FORMATS:
            return (
                f"is quantised, its {name} a {type(weight).__name__} of {weight.dtype}: load the pipeline in fp16, "
                "bf16 or fp32"
            )
    return None


@cache
def _foreign(kind: Any) -> Reason:
    if f"{kind.__module__}.".startswith(_LIBRARIES) and ".quantiz" not in kind.__module__:
        return None
    return (
        f"is a {kind.__name__} of {kind.__module__}, which computes otherwise than the network's own "
        "layer: load the pipeline without"
    )


def _hooked(module: nn.Module) -> Reason:
    # What offloaded a module leaves the class's own forward behind when it is taken off.
    if "forward" in vars(module) and module.forward != type(module).forward.__get__(module):
        return "has a forward of another program's: load the pipeline again without"
    for hook in (*module._forward_hooks.values(), *module._forward_pre_hooks.values()):
        if not _library(hook).startswith("transformers"):  # with which that library returns its hidden states
            return f"has a hook of another program's on it ({getattr(hook, '__qualname__', hook)}): remove it first"
    return None


def _library(value: Any) -> str:
    module = getattr(value, "__module__", None) or type(value).__module__
    return str(module).partition(".")[0]
