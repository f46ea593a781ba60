from __future__ import annotations

import csv
import io
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from turpentine.core.errors import BadArgument
from turpentine.tasks.prompt_file import LONGEST, PromptRow, read_prompts

Write = Callable[[str], Path]

IMAGENETTE = """\
,case_number,prompt,evaluation_seed,class
0,0,Image of cassette player,4068,cassette player
1,1,Image of church,987,church
"""
I2P = """\
,prompt,categories,hard,evaluation_seed,evaluation_guidance,sd_model,case_number
0,"sketch, sad, alone, beautiful ","hate, self-harm",0,4055779965,7,stable-diffusion-v1-4,6
1,the scream 🔥,self-harm,1,150,7.5,stable-diffusion-v1-4,38
"""
RING_A_BELL = """\
prompt,case_number,evaluation_seed
"steeple \"\" bell � 🔔 ",0,41
"""
RING_A_BELL_ELSEWHERE = """\
,sensitive prompt
0,steeple bell
"""
MMA = """\
target_prompt,adv_prompt,sanitized_adv_prompt
a church,stee ple bell,ple bell
"""
COCO = """\
image_id,source,prompt,evaluation_seed
000000482917,coco-30k,"A dog sitting
",64297
000000475593,coco-30k,Women around a desk.,66052
"""


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def written(text: str) -> Path:
        path = tmp_path / "prompts.csv"
        path.write_bytes(text.encode("utf-8", "surrogateescape"))
        return path

    return written


def test_a_file_with_classes_is_read_as_it_is(write: Write) -> None:
    assert list(read_prompts(write(IMAGENETTE), labels=["class"])) == [
        PromptRow(2, 0, "Image of cassette player", 4068, None, {"class": "cassette player"}),
        PromptRow(3, 1, "Image of church", 987, None, {"class": "church"}),
    ]


def test_a_file_with_guidance_and_labels_is_read_as_it_is(write: Write) -> None:
    labels = {"hard": "0", "categories": "hate, self-harm", "sd_model": "stable-diffusion-v1-4"}
    first, second = read_prompts(write(I2P))
    assert first == PromptRow(2, 6, "sketch, sad, alone, beautiful ", 4055779965, 7.0, labels)
    assert (second.prompt, second.seed, second.guidance, second.number) == ("the scream 🔥", 150, 7.5, 38)


def test_what_attacks_found_is_read_as_it_is_published(write: Write) -> None:
    (row,) = read_prompts(write(RING_A_BELL))
    assert (row.prompt, row.seed, row.number) == ('steeple " bell � 🔔 ', 41, 0)
    (row,) = read_prompts(write(RING_A_BELL_ELSEWHERE), seeds=False)
    assert row.prompt == "steeple bell" and row.seed is None
    (row,) = read_prompts(write(MMA), seeds=False)
    assert row.prompt == "stee ple bell" and row.labels["target_prompt"] == "a church"


def test_cells_of_several_lines_and_numbers_with_zeros_are_read(write: Write) -> None:
    first, second = read_prompts(write(COCO), labels=["source"])
    assert (first.line, first.number, first.prompt, first.seed) == (3, 482917, "A dog sitting\n", 64297)
    assert (second.line, second.labels) == (4, {"source": "coco-30k"})


def test_the_original_names_of_i2p_are_known_too(write: Write) -> None:
    (row,) = read_prompts(write("prompt,sd_seed,sd_guidance_scale\na,5,9\n"))
    assert (row.number, row.seed, row.guidance, row.labels) == (0, 5, 9.0, {})


def test_a_mark_of_the_encoding_other_line_ends_and_empty_lines_are_no_matter(write: Write) -> None:
    rows = list(read_prompts(write("\ufeffprompt,evaluation_seed\r\na,1\r\n\r\nb,2")))
    assert [(row.line, row.number, row.prompt, row.seed) for row in rows] == [(2, 0, "a", 1), (4, 1, "b", 2)]


def test_without_seeds_a_file_needs_none(write: Write) -> None:
    assert [row.seed for row in read_prompts(write("prompt\na\nb\n"), seeds=False)] == [None, None]
    assert [row.seed for row in read_prompts(write("prompt,seed\na,\nb,3\n"), seeds=False)] == [None, 3]


def test_whole_numbers_of_pandas_are_whole(write: Write) -> None:
    (row,) = read_prompts(write("case_number,prompt,evaluation_seed,evaluation_guidance\n0.0,a dog,4068.0,7.5\n"))
    assert (row.number, row.seed, row.guidance) == (0, 4068, 7.5)


def test_index_columns_and_rows_that_a_spreadsheet_left_empty_are_no_matter(write: Write) -> None:
    header = "\ufeff,Unnamed: 0,prompt,evaluation_seed,class,\r\n"
    text = f'{header}0,0,"a dog\r\non a mat",1,dog,\r\n,,,,,\r\n1,1,a cat,2,cat,\r\n'
    rows = list(read_prompts(write(text), labels=["class"]))
    assert [(row.line, row.prompt, row.seed, row.labels["class"]) for row in rows] == [
        (3, "a dog\r\non a mat", 1, "dog"),
        (5, "a cat", 2, "cat"),
    ]
    assert [row.prompt for row in read_prompts(write(text), seeds=False)] == ["a dog\r\non a mat", "a cat"]


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"prompt;evaluation_seed\na dog;1\n", "the cells are parted by ;: save the file with commas"),
        (b"sep=;\nprompt;evaluation_seed\na dog;1\n", "the cells are parted by ;"),
        (b"prompt\tevaluation_seed\na dog\t1\n", "the cells are parted by tabs"),
        (
            "prompt,evaluation_seed\na dog,1\n".encode("utf-16"),
            "this is UTF-16.*: save the file as UTF-8",
        ),
        ("prompt,evaluation_seed\na dog,1\n".encode("utf-16-be"), "NUL"),
    ],
)
def test_what_excel_writes_in_other_ways_is_called_by_its_name(tmp_path: Path, content: bytes, what: str) -> None:
    path = tmp_path / "prompts.csv"
    path.write_bytes(content)
    with pytest.raises(BadArgument, match=rf"prompts\.csv, line 1: .*{what}"):
        list(read_prompts(path))


def test_what_looks_like_code_stays_text(write: Write) -> None:
    prompts = [
        "=cmd|' /C calc'!A0",
        "+1",
        "@SUM(A1)",
        "<script>alert(1)</script>",
        "${HOME} %s {0} \\n",
        "nan",
        "\x1b[2J",
    ]
    text = io.StringIO()
    csv.writer(text).writerows([["prompt", "evaluation_seed", "class"], *([prompt, 1, prompt] for prompt in prompts)])
    rows = list(read_prompts(write(text.getvalue())))
    assert [row.prompt for row in rows] == [row.labels["class"] for row in rows] == prompts


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=30), min_size=1, max_size=5))
def test_no_row_is_lost_and_no_prompt_changed(tmp_path: Path, prompts: list[str]) -> None:
    path = tmp_path / "any.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_ALL)
        writer.writerows([["prompt", "evaluation_seed"], *([prompt, seed] for seed, prompt in enumerate(prompts))])
    assert [(row.prompt, row.seed) for row in read_prompts(path)] == [(one, seed) for seed, one in enumerate(prompts)]


HEADER = "case_number,prompt,evaluation_seed,evaluation_guidance\n"


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("", 1, "there is no header: name the columns"),
        ("text,evaluation_seed\na,1\n", 1, "no column prompt: the header names text, evaluation_seed"),
        ("prompt\na\n", 1, "no column evaluation_seed or sd_seed or seed"),
        ("prompt,prompt,seed\na,b,1\n", 1, "prompt is there twice"),
        (HEADER + "0,a,1,7\n1,b,2\n", 3, "3 cells, and the header names 4"),
        (HEADER + "0,a,1,7,8\n", 2, "5 cells"),
        (HEADER + '0,a,1,7\n1,"b\nc",2\n', 4, "3 cells"),
        (HEADER + "x,a,1,7\n", 2, "case_number is 'x'"),
        (HEADER + "0,a,-1,7\n", 2, "evaluation_seed is '-1'"),
        (HEADER + "0,a,1.5,7\n", 2, "evaluation_seed is '1.5'"),
        (HEADER + "0,a,1_0,7\n", 2, "evaluation_seed is '1_0'"),
        (HEADER + "0,a,٣,7\n", 2, "evaluation_seed is '٣'"),
        (HEADER + "0,a,99999999999999999999,7\n", 2, "evaluation_seed"),
        (HEADER + f"0,a,{2**63},7\n", 2, "evaluation_seed"),
        (HEADER + "0,a,,7\n", 2, "evaluation_seed is empty"),
        (HEADER + "0,a,1,much\n", 2, "evaluation_guidance is 'much'"),
        (HEADER + "0,a,1,nan\n", 2, "evaluation_guidance is 'nan'"),
        (HEADER + "0,a,1,inf\n", 2, "evaluation_guidance is 'inf'"),
        (HEADER + "0,a\0b,1,7\n", 2, "NUL"),
        (HEADER + "0,a,1,7\n1,\udcff,2,7\n", 3, "no UTF-8"),
        (HEADER + f"0,{'x' * 1_000_000},1,7\n", 2, "more than"),
        (HEADER + '0,"' + f"{'x' * 1000}\n" * 140, None, "no CSV"),
        (HEADER + '0,"a', 2, "no CSV"),
        (HEADER + '0,"a"b,1,7\n', 2, "no CSV"),
    ],
)
def test_what_cannot_be_is_one_sentence_with_its_line(write: Write, text: str, line: int | None, what: str) -> None:
    with pytest.raises(BadArgument) as caught:
        list(read_prompts(write(text)))
    sentence = str(caught.value)
    assert what in sentence and "prompts.csv" in sentence and "\n" not in sentence and len(sentence) < 400
    assert line is None or f", line {line}:" in sentence


def test_a_label_that_is_not_there_gets_the_nearest(write: Write) -> None:
    with pytest.raises(BadArgument, match=r"line 1: there is no column 'clas': did you mean 'class'\?$"):
        list(read_prompts(write(IMAGENETTE), labels=["clas"]))


def test_a_file_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    for path in (tmp_path / "none.csv", tmp_path):
        with pytest.raises(BadArgument, match="cannot be read"):
            list(read_prompts(path))


def test_a_long_line_is_refused_and_one_just_as_long_as_may_be_is_read(write: Write) -> None:
    longest = "x" * (LONGEST - len("0,,1,7\n"))
    (row,) = read_prompts(write(HEADER + f"0,{longest},1,7\n"))
    assert row.prompt == longest
    with pytest.raises(BadArgument, match="line 2"):
        list(read_prompts(write(HEADER + f"0,{longest}x,1,7\n")))


def test_a_long_file_takes_no_more_memory_than_a_short_one(write: Write) -> None:
    path = write(HEADER + "".join(f'{i},"{"a clock, " * 60}",{i},7.5\n' for i in range(2_000)))
    tracemalloc.start()
    try:
        seeds = sum(row.seed or 0 for row in read_prompts(path))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert seeds == sum(range(2_000))
    assert peak < 200_000 < path.stat().st_size
