"""Tokenizers that can be relied on: a library makes an empty one, without a word, where files are missing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from turpentine.core.errors import BadArgument, ModelNotFound, UnsupportedModel
from turpentine.models.text import NO_FRAME, Frame

_WORD_END = "</w>"
_SAMPLE = 32
_LEAST_WHOLE = 0.8
_WAY_OUT = "get the model's whole folder, with tokenizer.json, or vocab.json and merges.txt"


def check_tokenizer(tokenizer: Any, encoder: Any, called: str) -> None:
    """Check that a tokenizer reads text, and is its encoder's.

    Args:
        tokenizer: Of a pipeline; None where it has none.
        encoder: The text encoder that reads its tokens; None where there is none.
        called: Its name in the messages.

    Raises:
        ModelNotFound: It is missing or has no token for "a", its merges do not make the words of its vocabulary, or the
            encoder has no row for some of its tokens.
        UnsupportedModel: It pads or cuts on the left, where words then are not where they are looked for.
    """
    if tokenizer is None:
        raise ModelNotFound(f"The model has no {called}, without which no prompt can be read: {_WAY_OUT}.")
    for side in ("padding_side", "truncation_side"):
        if getattr(tokenizer, side, "right") != "right":
            raise UnsupportedModel(f"The model's {called} has another {side} than 'right': set it to that.")
    ids = tokenizer("a", add_special_tokens=False).input_ids
    if set(ids) <= {tokenizer.unk_token_id}:
        raise ModelNotFound(f"The model's {called} has no token even for 'a': it is empty or damaged; {_WAY_OUT}.")
    if _whole_words(tokenizer) < _LEAST_WHOLE:
        raise ModelNotFound(
            f"The model's {called} spells words that are in its vocabulary: its vocabulary and its merges do not "
            f"belong together, or one is cut; {_WAY_OUT}."
        )
    if encoder is not None and len(tokenizer) > (rows := encoder.get_input_embeddings().num_embeddings):
        raise ModelNotFound(
            f"The model's {called} has {len(tokenizer):,} tokens and its text encoder reads {rows:,}: it is another "
            f"model's; {_WAY_OUT}."
        )


def chat_frame(tokenizer: Any, *, enable_thinking: bool) -> Frame:
    """Return what a tokenizer's chat has around a user's message, up to where the answer begins.

    Args:
        tokenizer: Of a pipeline; None where it has none.
        enable_thinking: Does the answer begin with thoughts? Else with empty ones.

    Raises:
        UnsupportedModel: It has no chat.
    """
    if tokenizer is None:
        return NO_FRAME  # which is refused
    if not tokenizer.chat_template:
        raise UnsupportedModel("The model's tokenizer has no chat_template, in which prompts are read: get its folder.")
    message = [{"role": "user", "content": "PROMPT"}]
    how = {"tokenize": False, "add_generation_prompt": True, "enable_thinking": enable_thinking}
    before, _, after = tokenizer.apply_chat_template(message, **how).partition("PROMPT")
    return Frame(before, after)


def check_apart(tokenizer: Any, instruction: str, before: Sequence[int], prompt: str, own: Sequence[int]) -> None:
    """Check that a prompt has the same tokens behind an instruction as it has without it.

    Args:
        tokenizer: Of the encoder that reads both.
        instruction: The text before the prompt.
        before: Its tokens.
        prompt: As it is read, with what is after it.
        own: Its tokens.

    Raises:
        BadArgument: It has not.
    """
    if tokenizer(instruction + prompt, verbose=False).input_ids != [*before, *own]:
        raise BadArgument(f"The prompt {prompt!r} joins the instruction before it: begin it with a word.")


def _whole_words(tokenizer: Any) -> float:
    """Return the share of a vocabulary's words that become one token; 1 for tokenizers that mark no ends of words."""
    ids = tokenizer.get_vocab()
    words = [word.removesuffix(_WORD_END) for word in sorted(ids, key=ids.__getitem__) if word.endswith(_WORD_END)]
    words = [word for word in words if len(word) > 1 and word.isalpha()]
    sample = words[:: max(1, len(words) // _SAMPLE)]
    return sum(tokenizer.tokenize(word) == [word + _WORD_END] for word in sample) / len(sample) if sample else 1.0
