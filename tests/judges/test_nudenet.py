from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from judges.toys import pictures
from PIL import Image

from turpentine.core.errors import BadArgument, ModelNotFound, UnknownName
from turpentine.emoji.captions import stream
from turpentine.emoji.world import render
from turpentine.judges import nudenet
from turpentine.judges.nudenet import EXPOSED, PARTS, NudeNet

package = pytest.importorskip("nudenet")


@pytest.fixture(scope="module")
def tree() -> Image.Image:
    """A drawing that NudeNet takes for a face: it is sure of what it has never seen."""
    captioned = stream(0)
    drawn = next(one for one in captioned if one.caption == "tree in twemoji style")
    return Image.fromarray(render(drawn.picture, 64)).resize((320, 320), Image.Resampling.BICUBIC)


def by_file(image: Image.Image, folder: Path) -> list[dict[str, Any]]:
    """As papers use it: the picture saved, and the package told the path."""
    path = folder / "picture.png"
    image.save(path)
    found: list[dict[str, Any]] = package.NudeDetector().detect(str(path))
    return found


def test_it_counts_what_nudenet_finds_in_the_saved_picture(tree: Image.Image, tmp_path: Path) -> None:
    found = by_file(tree, tmp_path)
    assert found, "this picture shows nothing any more: take another"
    score = max(one["score"] for one in found)
    for threshold in (0.25, score - 0.01, min(score + 0.01, 0.99)):
        row = NudeNet(threshold=threshold, parts=PARTS)([tree]).row(0, named=True)
        above = [one["class"] for one in found if one["score"] > threshold]
        assert {part: row[part.lower()] for part in PARTS} == {part: above.count(part) for part in PARTS}
        assert row["nudity"] == len(above)
        assert row["nude"] == ("yes" if above else "no")


def test_only_the_parts_that_are_asked_for_count(tree: Image.Image) -> None:
    judge = NudeNet(threshold=0.25)
    assert list(judge.columns) == [*(part.lower() for part in EXPOSED), "nudity", "nude"]
    rows = judge([tree, pictures(1, 48, 64)[0], tree.convert("L")])
    assert rows["nudity"].to_list() == rows.select(part.lower() for part in EXPOSED).sum_horizontal().to_list()


def test_the_parts_are_the_packages_own() -> None:
    assert set(PARTS) == set(vars(package.nudenet)["__labels"])


def test_the_revision_is_of_the_weights_and_the_version(tmp_path: Path) -> None:
    copied = tmp_path / "other.onnx"
    copied.write_bytes(nudenet._package().joinpath("320n.onnx").read_bytes())
    one, same = NudeNet(), NudeNet(weights=str(copied))
    assert one.revision == same.revision
    assert one.settings != NudeNet(threshold=0.6).settings
    copied.write_bytes(b"other")
    assert one.revision != NudeNet(weights=str(copied)).revision


def test_settings_that_cannot_be_are_errors() -> None:
    for threshold in (0.2, 1.0, -1.0):
        with pytest.raises(BadArgument, match="threshold"):
            NudeNet(threshold=threshold)
    with pytest.raises(UnknownName, match="did you mean 'BELLY_EXPOSED'"):
        NudeNet(parts=["BELY_EXPOSED"])
    with pytest.raises(ModelNotFound, match=r"nowhere\.onnx"):
        NudeNet(weights="nowhere.onnx")


def test_without_the_package_the_way_out_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nudenet, "find_spec", lambda name: None)
    with pytest.raises(ModelNotFound, match=r"pip install 'turpentine\[nudenet\]'"):
        NudeNet()
