from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor

from turpentine.core.errors import ModelNotFound
from turpentine.emoji.judge_network import ANSWERS, NONE, JudgeNet
from turpentine.emoji.world import WORKS, render
from turpentine.judges import EmojiJudge, Judge
from turpentine.judges import emoji_judge as emoji

COLUMNS = ["object", "object_p", "second", "object_also", "style", "style_p", "colour", "colour_p"]
COLUMNS += ["work", "artist", "work_distance"]


class Fixed:
    """A classifier that is sure of the answers that it is given."""

    def __init__(self, **answers: str) -> None:
        self.answers = answers

    def probabilities(self, images: Sequence[Image.Image]) -> dict[str, Tensor]:
        found = {}
        for attribute, names in ANSWERS.items():
            row = torch.full((len(names),), 0.1 / (len(names) - 1))
            row[names.index(self.answers[attribute])] = 0.9
            found[attribute] = row.repeat(len(images), 1)
        return found


def picture() -> Image.Image:
    return Image.new("RGB", (32, 32), (200, 20, 20))


def network() -> JudgeNet:
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        return JudgeNet().eval()


def test_it_names_the_most_likely_answers_and_their_probabilities() -> None:
    judge = EmojiJudge(Fixed(object="church", style="ink", colour="red"))
    row = judge([picture()]).row(0, named=True)
    assert (row["object"], row["style"], row["colour"]) == ("church", "ink", "red")
    assert row["object_p"] == row["style_p"] == row["colour_p"] == pytest.approx(0.9)
    assert row["second"] == ANSWERS["object"][0]  # of equals the first
    assert row["object_also"] is None
    assert row["work"] is None


@pytest.mark.parametrize(("p", "also"), [(emoji.ALSO - 0.01, None), (emoji.ALSO + 0.01, "balloon")])
def test_a_second_object_is_shown_too_if_it_is_likely_enough(p: float, also: str | None) -> None:
    class Torn(Fixed):
        def probabilities(self, images: Sequence[Image.Image]) -> dict[str, Tensor]:
            found = super().probabilities(images)
            found["object"][:] = 0.0
            for name, each in (("church", 1 - p), ("balloon", p)):
                found["object"][:, ANSWERS["object"].index(name)] = each
            return found

    row = EmojiJudge(Torn(object="church", style="ink", colour="red"))([picture()]).row(0, named=True)
    assert (row["object"], row["second"], row["object_also"]) == ("church", "balloon", also)


def test_none_of_these_is_an_answer() -> None:
    judge = EmojiJudge(Fixed(object=NONE, style="ink", colour="red"))
    assert judge([picture()])["object"].item() == NONE


def test_works_are_judged_beside_the_network() -> None:
    judge = EmojiJudge(Fixed(object="owl", style="ink", colour="black"))
    row = judge([Image.fromarray(render(WORKS[0].picture))]).row(0, named=True)
    assert (row["work"], row["artist"]) == (WORKS[0].title, WORKS[0].artist)


def test_a_network_with_weights_gives_the_columns_that_no_picture_gives() -> None:
    judge = EmojiJudge(network())
    assert isinstance(judge, Judge)
    rows = judge([picture(), picture()])
    assert rows.columns == COLUMNS
    assert rows.schema == judge([]).schema
    assert rows.row(0) == rows.row(1)


def test_the_revision_is_of_the_weights() -> None:
    net = network()
    other = copy.deepcopy(net)
    assert EmojiJudge(net).revision == EmojiJudge(other).revision
    next(other.parameters()).data[0] += 1e-3
    assert EmojiJudge(net).revision != EmojiJudge(other).revision
    hotter = copy.deepcopy(net)
    hotter.log_temperature += 0.1
    assert EmojiJudge(net).revision != EmojiJudge(hotter).revision


def test_missing_weights_are_one_clear_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(emoji, "weights_path", lambda: tmp_path / "judge.safetensors")
    with pytest.raises(ModelNotFound, match=r"judge\.safetensors"):
        EmojiJudge()
