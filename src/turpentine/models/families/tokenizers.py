"""Tokenizers that can be relied on: a library makes an empty one, without a word, where files are missing."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from jaxtyping import Bool, Int
from torch import Tensor

from turpentine.core.errors import BadArgument, ModelNotFound, UnsupportedModel
from turpentine.models.frame import NO_FRAME, Frame

_WORD_END = "</w>"
_SAMPLE = 32
_LEAST_WHOLE = 0.8
_WAY_OUT = "get the model's whole folder, with tokenizer.json, or vocab.json and merges.txt"


_MESSAGE = ({"role": "user", "content": "PROMPT"},)


def check_tokenizer(tokenizer: Any, encoder: Any, called: str, sides: Collection[str] = ("right",)) -> None:
    """Check that a tokenizer reads text, and is its encoder's.

    Args:
        tokenizer: Of a pipeline; None where it has none.
        encoder: The text encoder that reads its tokens; None where there is none.
        called: Its name in the messages.
        sides: On which it may pad.

    Raises:
        ModelNotFound: It is missing or has no token for "a", its merges do not make the words of its vocabulary, or the
            encoder has no row for some of its tokens.
        UnsupportedModel: It pads on another side than its family's do, or cuts on the left, where words then are not
            where they are looked for.
    """
    if tokenizer is None:
        raise ModelNotFound(f"The model has no {called}, without which no prompt can be read: {_WAY_OUT}.")
    for side, allowed in (("padding_side", sides), ("truncation_side", ("right",))):
        if getattr(tokenizer, side, "right") not in allowed:
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


def text_tokenizer(tokenizer: Any) -> Any:
    """Return the tokenizer in a processor, which reads pictures too; another tokenizer, or None, is returned itself."""
    return tokenizer.tokenizer if hasattr(tokenizer, "image_processor") else tokenizer


def chat_frame(tokenizer: Any, messages: Sequence[Mapping[str, Any]] = _MESSAGE, **how: bool) -> Frame:
    """Return what a chat has around the prompt.

    Args:
        tokenizer: Of a pipeline, or its processor; None where it has none.
        messages: Of the chat, with PROMPT in the last; by default a user's alone.
        how: What its template is given beside them, such as `add_generation_prompt`.

    Raises:
        UnsupportedModel: It has no chat.
    """
    if tokenizer is None:
        return NO_FRAME  # which is refused
    if not tokenizer.chat_template:
        raise UnsupportedModel("The model's tokenizer has no chat_template, in which prompts are read: get its folder.")
    before, _, after = tokenizer.apply_chat_template(list(messages), tokenize=False, **how).rpartition("PROMPT")
    return Frame(before, after)


def between_padding(ids: Int[Tensor, "batch token"], pad: int) -> Bool[Tensor, "batch token"]:
    """Return which tokens are the prompt's own: all but the padding before it and behind it.

    Args:
        ids: Of padded prompts.
        pad: The padding's token, which may be in a prompt, too.
    """
    own = (ids != pad).long()
    return (own.cumsum(dim=1) > 0) & (own.flip(1).cumsum(dim=1).flip(1) > 0)


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
