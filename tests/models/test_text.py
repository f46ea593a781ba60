import itertools
import logging
import sys
import threading
from collections.abc import Sequence

import pytest
import torch
from diffusers import StableDiffusionPipeline
from tiny import tiny_sd1, tiny_tokenizer

from turpentine.concepts import Concept
from turpentine.core.errors import BadArgument, EmptyConcept
from turpentine.models import Conditioning, Model, load
from turpentine.models.text import bare, check_fits, find_all, find_subject, reworded, tokenize, words_of

PROMPTS = ["a church", "a dog and a cat on blue background", ""]


@pytest.mark.parametrize("family", ["sd1", "sd2"])
def test_encode_agrees_with_the_pipeline(family, request):
    model = request.getfixturevalue(family)
    with torch.no_grad():
        expected, _ = model.pipeline.encode_prompt(PROMPTS, "cpu", 1, False)
    torch.testing.assert_close(model.encode(PROMPTS).hidden, expected, rtol=0, atol=1e-6)
    assert model.encode(PROMPTS).pooled is None


def test_encode_agrees_with_the_sdxl_pipeline(sdxl):
    with torch.no_grad():
        hidden, no_hidden, pooled, no_pooled = sdxl.pipeline.encode_prompt(PROMPTS[:2], device="cpu")
    cond = sdxl.encode(PROMPTS)
    assert cond.pooled is not None and cond.time_ids is not None
    torch.testing.assert_close(cond.hidden[:2], hidden, rtol=0, atol=1e-6)
    torch.testing.assert_close(cond.pooled[:2], pooled, rtol=0, atol=1e-6)
    assert torch.equal(cond.hidden[2], no_hidden[0])
    assert torch.equal(cond.pooled[2], no_pooled[0])
    assert not cond.hidden[2].any()


def test_sdxl_is_told_the_size(sdxl):
    expected = sdxl.pipeline._get_add_time_ids((64, 32), (0, 0), (64, 32), torch.float32, 24)
    time_ids = sdxl.encode(PROMPTS, size=(64, 32)).time_ids
    assert torch.equal(time_ids, expected.repeat(3, 1))
    assert torch.equal(sdxl.encode([""]).time_ids, torch.tensor([[32.0, 32, 0, 0, 32, 32]]))


def test_a_pipeline_may_say_that_an_empty_prompt_is_a_prompt(sdxl):
    before = sdxl.pipeline.config.force_zeros_for_empty_prompt
    sdxl.pipeline.register_to_config(force_zeros_for_empty_prompt=False)
    try:
        assert sdxl.encode([""]).hidden.any()
    finally:
        sdxl.pipeline.register_to_config(force_zeros_for_empty_prompt=before)


def test_a_single_text_is_a_mistake(sd1):
    with pytest.raises(BadArgument, match="list of prompts"):
        sd1.encode("a church")


def test_a_prompt_that_is_cut_is_warned_of(sd1):
    long = "dog " * 20
    with pytest.warns(UserWarning, match="22 tokens: the model reads the first 16"):
        cut = sd1.encode([long])
    assert torch.equal(cut.hidden, sd1.encode(["dog " * 14]).hidden)
    with pytest.warns(UserWarning, match="^The prompt 'dog( dog){12,} [.]{3}' has") as warned:
        sd1.encode(["dog " * 400])
    assert len(str(warned[0].message)) < 150


@pytest.mark.parametrize(
    ("text", "unknown"),
    [
        ("a church on a blue background", []),
        ("a zebra and a dog", ["zebra"]),
        ("xylophone é xylophone", ["xylophone", "é"]),
        ("A Church", []),
        ("", []),
    ],
)
def test_unknown_words(sd1, text, unknown):
    assert sd1.text.unknown_words(text) == unknown


def test_a_prompt_is_padded_while_another_thread_asks_for_unknown_words(sd1):
    whole, stop = tokenize(sd1.pipeline.tokenizer, PROMPTS, 16), threading.Event()

    def ask() -> None:
        while not stop.is_set():
            assert sd1.text.unknown_words("a zebra") == ["zebra"]

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    thread = threading.Thread(target=ask)
    thread.start()
    try:
        for _ in range(200):
            assert torch.equal(tokenize(sd1.pipeline.tokenizer, PROMPTS, 16), whole)
    finally:
        sys.setswitchinterval(before)
        stop.set()
        thread.join()


def test_a_long_prompt_is_told_of_by_us_alone(monkeypatch, caplog):
    monkeypatch.setattr(logging.getLogger("transformers"), "propagate", True)
    long = "dog " * 20
    with pytest.raises(BadArgument, match="'dog dog dog dog dog dog' would be cut off"):
        check_fits(tiny_tokenizer(), long, 16)
    with pytest.warns(UserWarning, match="22 tokens"):
        tokenize(tiny_tokenizer(), [long], 16)
    assert not caplog.records


def test_a_word_of_two_long_pieces_is_known(sd1):
    assert len(sd1.pipeline.tokenizer.tokenize("doghouse")) > 1
    assert sd1.text.unknown_words("doghouse") == []


@pytest.mark.parametrize("family", ["sd1", "sdxl"])
def test_rows_of_a_conditioning(family, request):
    cond = request.getfixturevalue(family).encode(PROMPTS)

    def same(one: Conditioning, other: Conditioning) -> bool:
        parts = [(getattr(one, name), getattr(other, name)) for name in ("hidden", "pooled", "time_ids")]
        return all(a is b is None or torch.equal(a, b) for a, b in parts)

    assert len(cond) == 3
    assert len(cond[1]) == 1
    assert same(cond[-1], cond[2])
    assert same(cond[torch.tensor([2, 0])], Conditioning.cat([cond[2], cond[0]]))
    assert same(cond[[0, 2]], cond[::2])
    assert same(cond[1:].repeat(2), cond[[1, 2, 1, 2]])
    assert same(Conditioning.cat([cond[:1], cond[1:]]), cond)
    assert same(cond.to("cpu"), cond)


@pytest.mark.parametrize(
    ("prompt", "subject", "tokens", "end"),
    [
        ("church", "church", [1], 2),
        ("a Church in red style", "church", [2], 6),
        ("a church and a church", "Church", [5], 6),
        ("a red church", "red church", [2, 3], 4),
        ("a zebra", "zebra", [2, 3, 4, 5, 6], 7),
        ("a church", None, [1, 2], 3),
        ("", None, [0], 1),
    ],
)
def test_a_subject_is_found_in_its_prompt(sd1, prompt, subject, tokens, end):
    places = find_subject(sd1.pipeline.tokenizer, prompt, subject, length=16)
    assert (list(places.subject), places.last, places.end) == (tokens, tokens[-1], end)
    assert list(places.tail) == list(range(tokens[-1], 16))


def test_every_place_of_a_subject_is_found(sd1):
    tokenizer, prompt = sd1.pipeline.tokenizer, "a zebra and a Church and a zebra"
    assert [list(at) for at in find_all(tokenizer, prompt, "church", length=32)] == [[9]]
    zebras = [list(at) for at in find_all(tokenizer, prompt, "zebra", length=32)]
    assert zebras == [[2, 3, 4, 5, 6], [12, 13, 14, 15, 16]]
    assert [list(at) for at in find_all(tokenizer, prompt, "zebra", length=16)] == zebras[:1], "the rest is cut off"


def test_the_state_of_a_subjects_last_token_is_the_first_that_knows_it(sd1):
    one, other = sd1.encode(["a red church and a dog", "a red truck and a dog"]).hidden
    last = find_subject(sd1.pipeline.tokenizer, "a red church and a dog", "church", length=16).last
    assert torch.equal(one[:last], other[:last])
    assert not torch.equal(one[last], other[last])


def test_a_prompt_that_is_cut_ends_at_the_last_token(sd1):
    with pytest.raises(EmptyConcept, match="first 16 tokens"):
        find_subject(sd1.pipeline.tokenizer, "dog " * 14 + "church", "church", length=16)
    places = find_subject(sd1.pipeline.tokenizer, "dog " * 20, None, length=16)
    assert (places.end, list(places.subject)) == (15, list(range(1, 15)))


@pytest.mark.parametrize(
    ("prompt", "words", "found"),
    [
        ("a Church and churches, church", "church", "a dog and churches, dog"),
        ("a red  church.", "Red church", "a dog."),
        ("a t.rex and a trex", "t.rex", "a dog and a trex"),
        ("CAT", "cat", "dog"),
    ],
)
def test_words_are_replaced_whole_and_wherever_they_are(prompt, words, found):
    assert reworded(prompt, words, "dog") == found


@pytest.mark.parametrize("words", ["cat", "church hous", "hurch", " "])
def test_words_that_are_not_in_a_prompt_cannot_be_replaced(words):
    with pytest.raises(EmptyConcept, match="in whole words"):
        reworded("a church house", words, "\\1")


def test_the_words_in_the_place_of_others_are_no_pattern():
    assert reworded("a church", "church", r"\1 \g<0>") == r"a \1 \g<0>"


@pytest.mark.parametrize("subject", ["cat", "a", "red a church", "churches"])
def test_a_subject_that_is_not_there_is_an_error(sd1, subject):
    with pytest.raises(EmptyConcept, match=f"^'{subject}' is not in .*'red church'"):
        find_subject(sd1.pipeline.tokenizer, "red church", subject, length=16)


@pytest.mark.parametrize("subject", ["é", "?!"])
def test_a_subject_without_a_token_of_its_own_is_an_error(sd1, subject):
    with pytest.raises(EmptyConcept, match="no token"):
        find_subject(sd1.pipeline.tokenizer, f"a {subject}", subject, length=16)


@pytest.mark.parametrize("subject", ["", " "])
def test_an_empty_subject_is_called_empty(sd1, subject):
    with pytest.raises(EmptyConcept, match="is empty"):
        find_subject(sd1.pipeline.tokenizer, "a church", subject, length=16)


def test_words_are_told_once_and_without_their_punctuation() -> None:
    assert words_of("A red dog, a (red) cat -- and 'A' don't!") == ["A", "red", "dog", "cat", "and", "don't"]
    assert words_of("") == words_of(" ... ") == []
    assert (bare("noto style,"), bare("(dog)"), bare("..."), bare("don't")) == ("noto style", "dog", "...", "don't")


@pytest.fixture
def inverted() -> StableDiffusionPipeline:
    """A tiny Stable Diffusion with a token of textual inversion that has three vectors, and one that has one."""
    pipeline = tiny_sd1()
    width = pipeline.text_encoder.config.hidden_size
    generator = torch.Generator().manual_seed(0)
    pipeline.load_textual_inversion(torch.randn(3, width, generator=generator), token="<toy>")
    pipeline.load_textual_inversion(torch.randn(1, width, generator=generator), token="<ink>")
    return pipeline


@pytest.mark.parametrize("prompt", ["a <toy> in a house", "<toy>", "a <toy> and a <toy>", "a <ink>", "a church", ""])
def test_all_vectors_of_textual_inversion_are_read_as_diffusers_reads_them(inverted, prompt):
    expected, _ = inverted.encode_prompt(prompt, "cpu", 1, False)
    torch.testing.assert_close(Model(inverted).encode([prompt]).hidden, expected)


def test_a_word_of_several_vectors_is_found_with_all_of_them(inverted):
    text = Model(inverted).text
    places = text.find("a <toy> on a church", "<toy>")
    assert list(places.subject) == [2, 3, 4]
    assert places.end == 8
    assert list(text.find("a <toy> on a church", "church").subject) == [7]
    with pytest.raises(BadArgument, match="has 17 tokens"):
        text.check_fits("a house and a cat and a dog and a red car <toy>")
    assert text.added_words == ["<ink>", "<toy>", "<toy>_1", "<toy>_2"]
    assert Model(tiny_sd1()).text.added_words == []


def test_half_a_character_is_refused_wherever_a_text_comes_in(sd1):
    """What was decoded wrongly, such as an argument in Latin-1, no tokenizer and no file can take."""
    bad, reader = "a caf\udce9", sd1.text
    for use in (
        lambda: sd1.generate(bad, steps=1),
        lambda: sd1.encode([bad]),
        lambda: reader.check_fits(bad),
        lambda: reader.find(bad),
        lambda: reader.find_all(bad, "a"),
        lambda: reader.find("a cafe", "\udce9"),
        lambda: reader.check_words("\ud800"),
        lambda: Concept(bad),
        lambda: Concept("dog", templates=("{} \udfff",)),
        lambda: Concept("dog", keep=("\udfff",)),
    ):
        with pytest.raises(BadArgument, match="is no valid Unicode") as caught:
            use()
        str(caught.value).encode()


@pytest.mark.parametrize(
    "prompt", ["a church, on red", "a dog.", "(a dog)", "a dog's church", "“dog” – a church…", "dog/cat"]
)
def test_punctuation_is_no_unknown_word(prompt):
    text = load().text
    assert text.unknown_words(prompt) == []
    assert text.unknown_words(f"{prompt} zyxwv!") == ["zyxwv"]


def test_half_a_character_is_no_unknown_word() -> None:
    with pytest.raises(BadArgument, match="no valid Unicode"):
        load().text.unknown_words("an \udce9 church")


@pytest.mark.parametrize("prompt", ["a <c>_1 dog", "a <c>d", "a <c> <c>d dog", "<c>dog", "<c>,<c>"])
def test_words_of_textual_inversion_that_overlap_are_read_as_diffusers_reads_them(prompt: str) -> None:
    pipeline = tiny_sd1()
    pipeline.tokenizer.add_tokens(["<c>", "<c>_1", "<c>d", "<c>d_1"])
    pipeline.text_encoder.resize_token_embeddings(len(pipeline.tokenizer))
    ids = Model(pipeline).family.tokenize([prompt])["text"][0].tolist()
    # diffusers takes the tokens of a prompt in the order of a set, which hangs on the process: in any of them.
    tokens = [each for each in set(pipeline.tokenizer.tokenize(prompt)) if each in ("<c>", "<c>d")]
    texts = [_with_all_vectors(prompt, order) for order in itertools.permutations(tokens)]
    assert pipeline.maybe_convert_prompt(prompt, pipeline.tokenizer) in texts
    whole = [pipeline.tokenizer(each, padding="max_length", max_length=16, truncation=True).input_ids for each in texts]
    assert ids in whole


def _with_all_vectors(prompt: str, tokens: Sequence[str]) -> str:
    """As diffusers writes out the second vector of each learned word, one word after the other."""
    for token in tokens:
        prompt = prompt.replace(token, f"{token} {token}_1")
    return prompt
