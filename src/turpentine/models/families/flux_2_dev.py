"""FLUX.2 dev: Mistral 3 behind a system message, padded on the left, and a guidance of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from turpentine.core.errors import UnsupportedModel
from turpentine.models.families.alterations import check_text_encoder
from turpentine.models.families.base import TokenIds, is_called
from turpentine.models.families.flux_2 import Flux2
from turpentine.models.families.tokenizers import chat_frame, text_tokenizer
from turpentine.models.frame import NO_FRAME, Frame

_PICTURE = "[IMG]"
"""The token that stands for a picture, which the pipeline takes out of prompts."""


class Flux2Dev(Flux2):
    """FLUX.2 dev (Black Forest Labs 2025).

    Mistral 3 reads a prompt as a user's message behind the pipeline's system message; its tokenizer, which a processor
    of pictures and texts holds, pads on the left. The network was distilled from guided predictions and reads w: a
    sampler's `guidance_scale` is that w, and there is no ε_∅. One that reads none is led as others are.

    Raises:
        UnsupportedModel: The schedule is no straight line, the chat's tokens are not those that the pipeline reads, or
            something on the pipeline changes what it computes.
    """

    title: ClassVar[str] = "FLUX.2 dev"
    pipeline_class: ClassVar[str] = "Flux2Pipeline"
    padding_sides: ClassVar[tuple[str, ...]] = ("left", "right")
    identity_keys: ClassVar[Mapping[str, tuple[str, ...]]] = {**Flux2.identity_keys, "text_encoder": ("model_type",)}
    layers: ClassVar[tuple[int, ...]] = (10, 20, 30)

    def __init__(self, pipeline: Any) -> None:
        self._message = _system_message(pipeline)
        self.frame = _frame(getattr(pipeline, "tokenizer", None), self._message)
        super().__init__(pipeline)
        self._check_chat()

    @classmethod
    def parts(cls, folder: Path) -> Mapping[str, Any]:
        """Return the tokenizer alone where the library of the processor's pictures is missing; see `Family.parts`."""
        from transformers import AutoTokenizer
        from transformers.utils import is_torchvision_available

        if is_torchvision_available():
            return {}
        return {"tokenizer": AutoTokenizer.from_pretrained(folder / "tokenizer", local_files_only=True)}

    @classmethod
    def fits(cls, pipeline: Any) -> bool:
        """Return whether it is FLUX.2's transformer with Mistral 3, or with a processor of pictures."""
        reads_pictures = hasattr(getattr(pipeline, "tokenizer", None), "image_processor")
        is_mistral = is_called(getattr(pipeline, "text_encoder", None), "Mistral3ForConditionalGeneration")
        return super().fits(pipeline) and (is_mistral or reads_pictures)

    @property
    def tokenizers(self) -> Mapping[str, Any]:
        """The tokenizer in the processor."""
        return {"text": text_tokenizer(getattr(self.pipeline, "tokenizer", None))}

    def check(self, *, hooks: bool = True) -> None:
        """Check what klein has otherwise, and that the system message is the same; see `Family.check`."""
        super().check(hooks=hooks)
        check_text_encoder(self.encoder("text"), "Mistral3ForConditionalGeneration", "Mistral 3")
        self._check_message()

    def tokenize(self, prompts: Sequence[str]) -> TokenIds:
        """Return the ids of prompts in the chat.

        Raises:
            UnsupportedModel: The pipeline has another system message by now.
        """
        self._check_message()
        return super().tokenize(prompts)

    def _check_message(self) -> None:
        if _system_message(self.pipeline) != self._message:
            raise UnsupportedModel(
                "The pipeline's system_message was changed after the model was made from it: make the model anew."
            )

    def _check_chat(self) -> None:
        """Check that the frame is read as the pipeline's chat is, whatever a tokenizer itself puts around a text."""
        how: dict[str, Any] = {"tokenize": True, "return_dict": True, "add_generation_prompt": False}
        theirs = self.pipeline.tokenizer.apply_chat_template([_messages(self._message, "a")], **how)["input_ids"]
        if [int(token) for token in theirs[0]] != self.tokenizers["text"](self.frame.put_around("a")).input_ids:
            raise UnsupportedModel(
                "The tokenizer puts other tokens around a chat than around a text: it is another model's."
            )


def _system_message(pipeline: Any) -> str:
    """Return the message before each prompt; what only holds the parts has diffusers' own."""
    from diffusers.pipelines.flux2.system_messages import SYSTEM_MESSAGE

    return str(getattr(pipeline, "system_message", SYSTEM_MESSAGE))


def _messages(system: str, prompt: str) -> list[dict[str, Any]]:
    """Return a chat, its texts in the form that a processor takes."""
    texts = {"system": system, "user": prompt}
    return [{"role": role, "content": [{"type": "text", "text": text}]} for role, text in texts.items()]


def _frame(tokenizer: Any, system: str) -> Frame:
    """Return what is around a prompt, without the start token, which the tokenizer puts there itself."""
    if tokenizer is None:
        return NO_FRAME  # which is refused
    frame = chat_frame(tokenizer, _messages(system, "PROMPT"), add_generation_prompt=False)
    own = text_tokenizer(tokenizer)
    start = own.bos_token if own.bos_token_id in own("a").input_ids[:1] else None
    return replace(frame, before=frame.before.removeprefix(start or ""), dropped=_PICTURE)
