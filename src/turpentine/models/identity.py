"""What decides the numbers that a model gives. Every key on disk is made from `describe`, and from nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from turpentine.core.errors import EditError, NotFinite
from turpentine.core.hashing import digest, digest_chunks, digest_tensor, tensor_bytes
from turpentine.core.model_argument import check_is_model
from turpentine.models.families.tokenizers import text_tokenizer
from turpentine.models.frame import NO_FRAME, Frame
from turpentine.models.network_parts import number_formats
from turpentine.models.weight_samples import check_weights

if TYPE_CHECKING:
    from turpentine.models.model import Model

REVISION = "2"
"""Of the code that draws: encoding, denoising, sampling, decoding. Raise it with any change there that could give other
numbers from the same arguments: it is in every key on disk."""

# Keys of transformers' configs that no number depends on; the number formats are described by themselves.
_IDLE = {"architectures", "dtype", "torch_dtype", "transformers_version"}

# What a tokenizer's last call left in it, which its next call sets anew.
_CALL_STATE = {"padding", "truncation"}


def describe(model: Model) -> dict[str, Any]:
    """Return all that decides the numbers of a model, as JSON has it.

    Two models with equal descriptions give the same numbers for the same calls; what one of them computed may be read
    for the other. `turpentine.core.hashing.digest` of it is the model's key.

    Args:
        model: With the edits and guidances that are on it now.

    Returns:
        revision: REVISION, of the code that draws.
        weights: `Model.fingerprint`, of the weights as fp16; it is the base's also while edits are on.
        remainder: `Model.remainder`, of what fp16 cannot hold of the same weights.
        formats: Number formats of each network's weights and buffers, such as "torch.float16".
        configs: Settings of each network.
        schedule: The whole configuration of the scheduler, and which of it was left to its class's defaults: another
            solver made from it takes its own defaults there.
        text: How prompts are read: is the empty prompt encoded as zeros, how many tokens are read, the SHA-256 of each
            tokenizer's content (None for a tokenizer that is missing), and what is read around them, such as a chat.
        device: Kind of device, such as "cpu" or "cuda".
        changes: Ids of the edits in order, then of the artefact that is on, then of the guidances in order.

    Raises:
        EditError: The model's guidance was set by hand, and has no description.
        UnsupportedModel: Something is on the model that no description holds, such as a LoRA of PEFT's.
        NotFinite: A weight is NaN or infinite.
        EditError: A weight was changed by something else while edits are on.

    Example:
        >>> import turpentine
        >>> describe(turpentine.load(device="cpu"))["schedule"]["prediction_type"]
        'epsilon'
    """
    check_is_model(model)
    model.family.check(hooks=False)
    check_weights(model)
    pipeline = model.pipeline
    facts = {
        "revision": REVISION,
        "weights": model.fingerprint,
        "remainder": model.remainder,
        "formats": {name: sorted(number_formats(part)) for name, part in model.components.items()},
        "configs": {name: _public(part.config) for name, part in model.components.items()},
        "schedule": _schedule(pipeline.scheduler.config),
        "text": {
            "empty prompt is zeros": bool(pipeline.config.get("force_zeros_for_empty_prompt")),
            "tokens": model.tokens,
            "tokenizers": {name: tokenizer_digest(getattr(pipeline, name)) for name in _tokenizer_names(pipeline)},
            **_frame(model.family.frame),
        },
        "device": model.device.type,
        "changes": _changes(model),
    }
    plain: dict[str, Any] = json.loads(json.dumps(facts, default=_plain))
    return plain


def fingerprint(pipeline: Any, keys_of: Mapping[str, tuple[str, ...]]) -> str:
    """Return the SHA-256, in hex, of the weights and decisive configs of a pipeline: which base an edit is of.

    Weights count as fp16, so that a model has one fingerprint whether it is loaded as fp32 or as fp16.

    Args:
        pipeline: With the networks and the scheduler as attributes.
        keys_of: Which keys of each part's config count, and in which order the parts do: `Family.identity_keys`. They
            are those that change the function and not the weights' shapes: to whole configs libraries add keys.
    """
    return digest_chunks(_fingerprint_chunks(pipeline, keys_of))


def remainder(networks: Mapping[str, nn.Module]) -> str:
    """Return the SHA-256, in hex, of what half precision loses of weights; "" where it loses nothing.

    With the fingerprint it says the weights to the last bit, and a model whose files are in half precision has none.

    Args:
        networks: By name.
    """
    chunks = list(_remainder_chunks(networks))
    return digest_chunks(chunks) if chunks else ""


def _remainder_chunks(networks: Mapping[str, nn.Module]) -> Iterator[bytes]:
    for component, network in networks.items():
        for name, weight in _weights(network):
            if weight.dtype == torch.float16:
                continue
            lost = weight.detach() - weight.detach().to(torch.float16).to(weight.dtype)
            if lost.any():
                yield f"{component}.{name}".encode()
                yield bytes.fromhex(digest_tensor(lost.float()))


def _fingerprint_chunks(pipeline: Any, keys_of: Mapping[str, tuple[str, ...]]) -> Iterator[bytes | memoryview]:
    for component, keys in keys_of.items():
        part = getattr(pipeline, component, None)
        if part is not None:
            config = {key: getattr(part.config, key, None) for key in keys}
            yield json.dumps([component, config], default=list).encode()
            for name, weight in _weights(part):
                if not torch.isfinite(weight).all():
                    raise NotFinite(f"{component}.{name} holds NaN or infinity: load the model again, or another one.")
                yield f"{name}{tuple(weight.shape)}".encode()
                yield tensor_bytes(weight.detach().to("cpu", torch.float16))


def _weights(part: Any) -> Iterator[tuple[str, Tensor]]:
    if isinstance(part, nn.Module):
        # transformers 5 took the level `text_model` out of its text encoder.
        for name, weight in part.named_parameters():
            yield name.removeprefix("text_model."), weight
        # Of a batch norm, by which latents are scaled; other buffers follow from the config.
        for name, statistic in part.named_buffers():
            if name.rpartition(".")[2].startswith("running_"):
                yield name, statistic


def _public(config: Any) -> dict[str, Any]:
    return _decisive(config.to_dict() if hasattr(config, "to_dict") else dict(config))


def _decisive(content: Mapping[Any, Any]) -> dict[Any, Any]:
    """Return what numbers depend on, also in the configs of a config, as those of a model of texts and pictures are."""
    decisive = {key: value for key, value in content.items() if not str(key).startswith("_") and key not in _IDLE}
    return {key: _decisive(value) if isinstance(value, dict) else value for key, value in decisive.items()}


def _schedule(config: Mapping[str, Any]) -> dict[str, Any]:
    return {**_public(config), "left to defaults": sorted(config.get("_use_default_values", ()))}


def _tokenizer_names(pipeline: Any) -> list[str]:
    return sorted(name for name in pipeline.config if name.startswith("tokenizer"))


def _frame(frame: Frame) -> dict[str, Any]:
    return {} if frame == NO_FRAME else {"frame": asdict(frame)}


def tokenizer_digest(tokenizer: Any) -> str | None:
    """Return the SHA-256 of all that decides which tokens a text becomes."""
    if tokenizer is None:
        return None
    tokenizer = text_tokenizer(tokenizer)
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None:
        content = {key: value for key, value in json.loads(backend.to_str()).items() if key not in _CALL_STATE}
    else:  # one that is written in Python
        merges = getattr(tokenizer, "bpe_ranks", {})
        content = {"vocabulary": tokenizer.get_vocab(), "merges": {str(pair): rank for pair, rank in merges.items()}}
    special = {name: str(token) for name, token in tokenizer.special_tokens_map.items()}
    return digest([content, special, tokenizer.padding_side, tokenizer.truncation_side, tokenizer.pad_token_id])


def _changes(model: Model) -> list[str]:
    edits = [edit.id for edit in model.edits or ()]
    edits += [model.artefact.id] if model.artefact is not None else []
    if model.guidance is None:
        return edits
    ids = getattr(model.guidance, "ids", None)
    if ids is None:
        raise EditError(f"The model follows {model.guidance!r}, which was set by hand: set its guidance to None first.")
    return [*edits, *ids]


def _plain(value: Any) -> Any:
    """Return in JSON's terms what JSON lacks: an array's numbers, all of them, or how a value prints."""
    return value.tolist() if hasattr(value, "tolist") else str(value)
