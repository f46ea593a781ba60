"""FLUX.2 klein: Qwen3 in a chat without thoughts, and classifier-free guidance."""

from __future__ import annotations

from typing import Any, ClassVar

from turpentine.core.errors import UnsupportedModel
from turpentine.models.families.alterations import check_text_encoder
from turpentine.models.families.flux_2 import Flux2
from turpentine.models.families.tokenizers import chat_frame


class Flux2Klein(Flux2):
    """FLUX.2 klein (Black Forest Labs 2026), base and distilled.

    Qwen3 reads a prompt as a user's message in a chat without thoughts. Distilled networks are drawn from without
    guidance: `guidance_scale` 1.

    Raises:
        UnsupportedModel: The schedule is no straight line, or something on the pipeline changes what it computes.
    """

    title: ClassVar[str] = "FLUX.2 klein"
    pipeline_class: ClassVar[str] = "Flux2KleinPipeline"
    layers: ClassVar[tuple[int, ...]] = (9, 18, 27)

    def __init__(self, pipeline: Any) -> None:
        tokenizer = getattr(pipeline, "tokenizer", None)
        self.frame = chat_frame(tokenizer, add_generation_prompt=True, enable_thinking=False)
        super().__init__(pipeline)
        if pipeline.config.is_distilled:  # its pipeline passes the scale over
            self.drawing = (self.drawing[0], 1.0)

    def check(self, *, hooks: bool = True) -> None:
        """Check what dev has otherwise, too; see `Family.check`."""
        super().check(hooks=hooks)
        check_text_encoder(self.encoder("text"), "Qwen3ForCausalLM", "Qwen3")
        if self.embeds_guidance:
            raise UnsupportedModel(
                "The transformer reads the guidance scale, as FLUX.2 dev's: give the pipeline klein's own."
            )
