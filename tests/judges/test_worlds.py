"""A judge of one world never answers for another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from bench.stubs import CASES, QUICK
from judges.toys import saved_clip
from PIL import Image

import turpentine as tp
from turpentine.bench.file import load
from turpentine.core.errors import BadArgument, ModelNotFound
from turpentine.emoji.captions import LARGER, WORLD, vocabulary
from turpentine.explain.tour import Tour
from turpentine.judges import EmojiJudge, judge, settings_for
from turpentine.judges.worlds import title_of, unknown_words, world_of_image, world_of_judge, world_of_model
from turpentine.models import Model
from turpentine.runs.specs import Condition, JudgeSpec, ModelSpec

OPENAI = "openai/clip-vit-base-patch32"
OF_THE_WORLD = [
    EmojiJudge(),
    judge("clip"),
    judge("distance"),
    judge("features"),
    judge("features", network="emoji judge"),
    judge("zero-shot", labels=("a", "b"), model="emoji"),
]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(saved_clip(tmp_path_factory.mktemp("clip")))


@pytest.mark.parametrize("one", OF_THE_WORLD, ids=lambda one: title_of(one.name, {}))
def test_who_asks_a_network_of_the_world_is_of_the_world(one: tp.judges.Judge, sd1: Model) -> None:
    assert world_of_judge(one) == JudgeSpec.of(one).world == "emoji"
    source = ModelSpec.of(sd1)
    assert source.world == ""
    with pytest.raises(BadArgument, match=f"The judge {one.name}.* knows the emoji world alone.*{sd1.name} is not"):
        Condition(source, tuple(CASES[:0]), QUICK, (JudgeSpec.of(one),))


def test_who_asks_another_network_judges_any_picture(clip: str) -> None:
    for name, settings in {"clip": {}, "distance": {"network": "clip"}, "features": {"network": "clip"}}.items():
        assert world_of_judge(judge(name, model=clip, **settings)) is None
    assert world_of_judge(judge("picture statistics")) is None


def test_a_world_is_known_by_the_size_of_its_pictures_and_its_words(sd1: Model) -> None:
    assert world_of_model(tp.load()) == "emoji"
    assert world_of_model(sd1) is None  # of the same size, and without the words
    assert [world_of_image(Image.new("RGB", size)) for size in ((32, 32), (64, 64), (32, 64), (512, 512))] == [
        "emoji",
        "emoji",
        None,
        None,
    ]


@pytest.mark.parametrize("name", ["clip", "distance", "features"])
def test_judges_ask_the_network_of_papers_where_a_model_is_another(name: str, tmp_path: Path) -> None:
    path = tmp_path / "bench.yaml"
    text = "title: t\nmodels: [{models}]\njudges: [{judge}]\ncases: [{{prompts: [a dog]}}]\n"

    def asked(models: str, judge: str = name) -> str:
        path.write_text(text.format(models=models, judge=judge))
        (entry,) = load(str(path)).spec.judges
        return str(entry.settings.get("model", "emoji"))

    assert asked("emoji") == "emoji"
    assert asked("CompVis/stable-diffusion-v1-4") == asked("emoji, CompVis/stable-diffusion-v1-4") == OPENAI
    network = "" if name == "clip" else "network: clip, "
    assert asked("a/b", f"{name}: {{{network}model: mine/clip}}") == "mine/clip"
    assert settings_for(name, "a/b", clip_model="mine/clip")["model"] == "mine/clip"
    with pytest.raises(BadArgument, match="leave out --clip-model mine/clip"):
        settings_for("emoji", "a/b", clip_model="mine/clip")


def test_a_network_that_is_named_is_asked_for_pictures_of_any_model() -> None:
    assert settings_for("distance", "a/b", {"network": "classifier", "model": "c/d"}) == {
        "network": "classifier",
        "model": "c/d",
    }


def test_towers_that_are_not_here_are_not_replaced() -> None:
    with pytest.raises(ModelNotFound, match="nobody/has-this"):
        _ = judge("clip", model="nobody/has-this").revision


@pytest.mark.parametrize(
    ("instrument", "looks_at", "about"),
    [
        (tp.explain.Clock(steps=1), "a church", {}),
        (tp.explain.Entangle(steps=1), {"dog": ("cat", "church")}, {}),
        (tp.explain.Intervene(steps=1), "a church", {}),
        (tp.explain.LocoGen(steps=1), "a church", {"concept": "church"}),
        (tp.explain.Trace(steps=1), "a church", {"concept": "church"}),
    ],
    ids=lambda each: type(each).__name__ if callable(each) else "",
)
def test_no_instrument_lets_a_judge_of_the_world_answer_for_another_models_pictures(
    sd1: Model, instrument: Any, looks_at: Any, about: dict[str, str]
) -> None:
    with pytest.raises(BadArgument, match="The judge emoji knows the emoji world alone"):
        instrument(sd1, looks_at, [0], judge=EmojiJudge(), **about)


def test_a_tour_does_not_either(sd1: Model, tmp_path: Path) -> None:
    with pytest.raises(BadArgument, match="The judge emoji knows the emoji world alone"):
        Tour("a church", "church", seeds=(0,))(sd1, tmp_path, judge=EmojiJudge())
    assert not list(tmp_path.iterdir())


def test_no_word_of_the_worlds_captions_is_unknown_to_its_models() -> None:
    for name, mixture in (("emoji", WORLD), ("emoji-64", LARGER)):
        assert unknown_words(tp.load(name), " ".join(vocabulary(mixture))) == []
    assert unknown_words(tp.load(), "nine chruch") == ["chruch"]


def test_of_another_model_the_tokenizer_says_which_words_it_knows(sd1: Model) -> None:
    assert unknown_words(sd1, "nine church") == sd1.text.unknown_words("nine church")
