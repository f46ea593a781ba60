"""The pictures of a study from each source, and what is known of them."""

from __future__ import annotations

import io
from pathlib import Path

import polars as pl
import pytest
from study.studies import picture, small_study

from turpentine.core.errors import BadArgument
from turpentine.runs.images import Images
from turpentine.study.hands import ARTISTS, hand_stills, similar_artist, work_stills
from turpentine.study.items import items_of
from turpentine.study.pictures import bare_png, noise_still
from turpentine.study.spec import read_plan
from turpentine.study.study import read_study


def test_folders_name_conditions_and_subjects(tmp_path: Path) -> None:
    study = small_study(tmp_path)
    seen = {(item.condition, item.subject, item.erased, item.role) for item in study.items}
    assert seen == {
        ("erased", "ada", "ada", "edited"),
        ("erased", "ben", "ben", "edited"),
        ("real", "ada", "", "real"),
        ("real", "ben", "", "real"),
    }
    assert len({item.id for item in study.items}) == 8
    other = small_study(tmp_path, ("roles={erased: oracle}",))
    assert {item.role for item in other.items if item.condition == "erased"} == {"oracle"}


def run_folder(tmp_path: Path, store: str = ".") -> Path:
    """A run as a bench leaves it, or turpentine erase: two methods, two artists, each picture judged."""
    folder = tmp_path / "run"
    rows = []
    for mark, (method, erased) in enumerate([("", "ada"), ("", "ben"), ("uce", "ada"), ("uce", "ben")]):
        for subject in ("ada", "ben"):
            for seed in (0, 1):
                shade = mark // 2 * 2 + (mark if method else 0)
                [name] = Images(folder / store / "images").put(
                    [picture((10 * shade, 90, 90 + seed), len(subject + erased))]
                )
                rows.append(
                    {
                        "model": "emoji",
                        "method": method,
                        "concept": erased,
                        "group": "other",
                        "label": subject if seed else f"{subject}, with a style",
                        "expected": subject,
                        "prompt": f"by {subject}",
                        "seed": seed,
                        "image": name,
                        "hit": not method or erased != subject,
                    }
                )
    pl.DataFrame(rows).write_parquet(folder / "results.parquet")
    return folder


@pytest.mark.parametrize("store", [".", ".store"])
def test_a_run_says_what_drew_what_and_what_the_judge_saw(store: str, tmp_path: Path) -> None:
    run_folder(tmp_path, store)
    plan = (tmp_path / "study.yaml").with_name("plan.yaml")
    plan.write_text(
        "title: t\nconsent: c\nitems: [{run: run, judge: emoji, seeds: 1}]\npractice: 0\nattention: 0\n"
        "questions: [{name: q, kind: presence, text: 'Is it by {subject}?'}]\n"
    )
    study = read_study(str(plan))
    assert [(item.condition, item.erased, item.subject, item.judged) for item in study.items] == [
        ("original", "", "ada", True),
        ("original", "", "ben", True),
        ("uce", "ada", "ada", False),
        ("uce", "ada", "ben", True),
        ("uce", "ben", "ada", True),
        ("uce", "ben", "ben", False),
    ]
    assert {(item.prompt, item.seed, item.judge) for item in study.items[:1]} == {("by ada", 0, "emoji")}
    assert all(item.still.image() for item in study.items)
    listed = read_study(str(plan), ["items.0.subject=label"])
    assert {item.subject for item in listed.items} == {"ada, with a style", "ben, with a style"}
    with pytest.raises(BadArgument, match=r"plan\.yaml, line 3: There are no pictures in run"):
        read_study(str(plan), ["items.0.groups=[style]"])


TABLE = "file,condition,subject,erased,prompt,seed,blur,judged\n0.png,uce,ada,ada,by ada,4,yes,no\n"


def table_study(tmp_path: Path, text: str) -> Path:
    picture((1, 2, 3), 4).save(tmp_path / "0.png")
    (tmp_path / "items.csv").write_text(text)
    plan = tmp_path / "plan.yaml"
    plan.write_text(
        "title: t\nconsent: c\nitems: [{table: items.csv, judge: mine}]\npractice: 0\nattention: 0\n"
        "questions: [{name: q, kind: presence, text: 'Is it by {subject}?'}]\n"
    )
    return plan


def test_a_table_says_what_it_has(tmp_path: Path) -> None:
    [item] = read_study(str(table_study(tmp_path, TABLE))).items
    assert (item.condition, item.subject, item.erased, item.seed) == ("uce", "ada", "ada", 4)
    assert (item.judged, item.judge, item.still.blur) == (False, "mine", True)


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("file,", "fiel,", r"items\.csv, line 1: there is no column 'file'"),
        ("0.png", "1.png", r"items\.csv, line 2: there is no picture"),
        (",uce,", ",,", r"items\.csv, line 2: condition is empty"),
        (",4,", ",four,", r"items\.csv, line 2: the seed 'four' is no whole number"),
        (",no", ",maybe", r"items\.csv, line 2: judged is 'maybe': write yes or no"),
    ],
)
def test_a_tables_fault_is_named_with_its_line(old: str, new: str, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(BadArgument, match=sentence):
        read_study(str(table_study(tmp_path, TABLE.replace(old, new))))


def test_hands_differ_and_works_are_examples() -> None:
    assert [len(work_stills(artist)) for artist in ARTISTS] == [3, 2, 2, 3]
    ids = {still.id for artist in ARTISTS for still in (*hand_stills(artist, 30), *work_stills(artist))}
    assert len(ids) == 4 * 30 + 10
    assert all(similar_artist(artist) != artist for artist in ARTISTS)


def test_what_is_missing_is_named_with_the_files_line(tmp_path: Path) -> None:
    small_study(tmp_path)
    with pytest.raises(BadArgument, match="roles: there are no pictures of 'uce'"):
        read_study(str(tmp_path / "study.yaml"), ["roles={uce: oracle}"])
    with pytest.raises(BadArgument, match=r"There is no folder .*nowhere"):
        read_study(str(tmp_path / "study.yaml"), ["items.0.folder=nowhere"])
    with pytest.raises(BadArgument, match=r"There are no examples of 'ada'"):
        read_study(str(tmp_path / "study.yaml"), ["examples.folder=nowhere"])
    with pytest.raises(BadArgument, match="there are no pictures of 'uce'"):
        read_study(str(tmp_path / "study.yaml"), ["questions.0.conditions=[uce]"])
    spec, _, folder = read_plan(str(tmp_path / "study.yaml"))
    assert len(items_of(spec, folder)) == 8


def test_what_goes_out_is_pixels_alone(tmp_path: Path) -> None:
    from PIL import Image, PngImagePlugin

    from turpentine.study.pictures import Still

    info = PngImagePlugin.PngInfo()
    info.add_text("prompt", "by ada, erased by uce")
    picture((9, 9, 9), 1).save(tmp_path / "a.png", pnginfo=info)
    content = Still(tmp_path / "a.png").content()
    assert b"uce" not in content
    assert bare_png(content) == content == bare_png((tmp_path / "a.png").read_bytes())
    assert Image.open(io.BytesIO(content)).convert("RGB").tobytes() == picture((9, 9, 9), 1).tobytes()
    for number, options in enumerate(({"icc_profile": b"any"}, {"exif": b"Exif\0\0II*\0"})):
        path = tmp_path / f"{number}.png"
        picture((9, 9, 9), 1).save(path, **options)
        assert bare_png(path.read_bytes()) is None, "it is drawn anew"
    Image.new("RGBA", (4, 4), (0, 0, 0, 0)).save(tmp_path / "d.png")
    assert Image.open(io.BytesIO(Still(tmp_path / "d.png").content())).getpixel((0, 0)) == (255, 255, 255)
    picture((9, 9, 9), 1).save(tmp_path / "c.jpg")
    assert Still(tmp_path / "c.jpg").content().startswith(b"\x89PNG")
    assert bare_png(content[:-20]) is None
    assert noise_still((4, 4), 1).id == noise_still((4, 4), 1).id != noise_still((4, 4), 2).id
    (tmp_path / "b.png").write_text("no picture")
    with pytest.raises(BadArgument, match="no picture"):
        Still(tmp_path / "b.png").content()
    assert isinstance(noise_still((4, 4), 1).image(), Image.Image)
