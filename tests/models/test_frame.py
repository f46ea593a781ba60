"""What is read around a prompt, and where padding stands."""

from __future__ import annotations

import pytest

from turpentine.models.frame import NO_FRAME, Frame, padding_before
from turpentine.testing.mistral_toy import tiny_mistral_tokenizer

CHAT = Frame("[SYSTEM_PROMPT]an image[/SYSTEM_PROMPT][INST]", "[/INST]", "[IMG]")


def test_what_is_dropped_is_not_read() -> None:
    assert CHAT.put_around("a [IMG]church[IMG]") == CHAT.put_around("a church") == f"{CHAT.before}a church[/INST]"
    assert NO_FRAME.inside("a [IMG]church") == "a [IMG]church"
    assert Frame(" ", dropped="[IMG]").put_around("[IMG]") == ""  # as an empty one


@pytest.mark.parametrize("side", ["left", "right"])
def test_the_tokens_around_are_those_around_every_prompt(side: str) -> None:
    """The tokenizer's own start token among them; and padding is before them or behind."""
    tokenizer = tiny_mistral_tokenizer(side)
    start, end = CHAT.around(tokenizer)
    for prompt in ("a church", "", "red " * 9):
        ids = tokenizer(CHAT.put_around(prompt)).input_ids
        assert ids[: len(start)] == start and ids[len(ids) - len(end) :] == end
        padded = tokenizer(CHAT.put_around(prompt), padding="max_length", max_length=60).input_ids
        assert padded[padding_before(tokenizer, len(ids), 60) :][: len(ids)] == ids
    assert tokenizer.convert_ids_to_tokens(start[0]) == "<s>" and tokenizer.decode(end) == "[/INST]"
    assert padding_before(tokenizer, 70, 60) == 0
