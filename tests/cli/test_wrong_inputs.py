"""Whatever is wrong with a command line, its user reads one sentence; nobody's mistake shows a traceback."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from turpentine.concepts import Concept
from turpentine.edits import Edit, Provenance
from turpentine.models import Artefact, load

Command = Callable[..., tuple[int, str, str]]

HUB_ID = "CompVis/stable-diffusion-v1-4"
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 335\n"

SHARED = [
    ("--model", "nowhere"),
    ("--model", "/nowhere/at/all"),
    ("--model", ""),
    ("--model", HUB_ID),
    ("--model", "a.ckpt"),
    ("--model", "empty"),
    ("--model", "text.txt"),
    ("--model", "noise.safetensors"),
    ("--model", "pointer.safetensors"),
    ("--model", "broken-index"),
    ("--model", "other-pipeline"),
    ("--device", "banana"),
    ("--device", "cuda:77"),
    ("--dtype", "int3"),
    ("--foo",),
    ("--foo=\udc80",),
]
SEEDS = [("--seeds", text) for text in ("x", "", "-1", "3-1", "1,,2", "0-9999999999", "²")]
JUDGES = [
    ("--by", name)
    for name in (
        "nobody",
        "zero-shot",
        "classifier: {model: nowhere}",
        "classifier: {model: empty}",
        "classifier: {modle: empty}",
        "clip: {modell: empty}",
        "clip: {3: empty}",
        "classifier: [",
        "empty",
        HUB_ID,
        "/nowhere/at/all",
    )
]
ERASE = [
    ("erase",),
    *(
        ("erase", *words)
        for words in (
            ("",),
            (" ",),
            ("chruch",),
            ("dragon",),
            ("church", "dgo"),
            ("church", "Church"),
            ("church", "--keep", "dgo"),
            ("church", "--method", "nonsense"),
            ("church", "--method", ""),
            ("dragon", "--model", "emoji-64"),
            ("church", "--method", "cad-amplify"),
            ("church", "--method", "trace"),
            ("church", "--method", "uce", "--eta", "1"),
            ("church", "--method", "esd-x", "--steps", "0"),
            ("church", "--method", "esd-x", "--steps", "1.5"),
            ("church", "--method", "esd-x", "--lr", "nan"),
            ("church", "--method", "esd-x", "--eta", "much"),
            ("church", "--kind", "smell"),
            ("church", "--measure", "fid of nothing"),
            ("church", "--measure", "fid"),
            ("church", "--measure", "fdi of features"),
            ("church", "--workers", "0"),
            ("church", "--out", "text.txt"),
            ("church", "--out", "text.txt/inside"),
            *(("church", "--method", "uce", *wrong) for wrong in (*SHARED, *SEEDS, *JUDGES)),
        )
    ),
]
AMPLIFY = [
    *(("amplify", "church", *wrong) for wrong in (*SHARED, SEEDS[0], *JUDGES)),
    ("amplify",),
    ("amplify", "chruch"),
    ("amplify", "church", "--method", "uce"),
    ("amplify", "church", "--images", "noise.png"),
]
BENCH = [
    ("bench", *words)
    for words in (
        (),
        ("nope",),
        ("missing.yaml",),
        ("text.txt",),
        ("latin.yaml",),
        ("noise.yaml",),
        ("binary.yaml",),
        ("empty.yaml",),
        ("emoji-objects", "--set", "x"),
        ("emoji-objects", "--set", "concepts=[chruch]"),
        ("emoji-objects", "--set", "concepts=[{text: church, keep: [dgo]}]"),
        ("emoji-objects", "--set", "models=[nowhere]"),
        ("emoji-objects", "--set", f"models=[{HUB_ID}]", "--dry-run"),
        ("emoji-objects", "--set", "judges=[nobody]"),
        ("emoji-objects", "--set", "judges=[{classifier: {model: nowhere}}]"),
        ("emoji-objects", "--set", "judges=[{classifier: {3: nowhere}}]"),
        ("emoji-objects", "--set", "models=[{emoji: {3: nowhere}}]"),
        ("emoji-objects", "--set", "methods=[uec]"),
        ("emoji-objects", "--set", "methods=[{diff-quickfix: {eta: 1}}]"),
        ("emoji-objects", "--set", "measures=[fid of nothing]"),
        ("emoji-objects", "--device", "banana"),
        ("emoji-objects", "--out", "text.txt"),
        ("emoji-objects", "--seeds", "x"),
        ("--worker",),
        ("--worker", "--out", "empty"),
    )
]
GENERATE = [
    ("generate",),
    ("generate", "a church", "--steps", "0"),
    ("generate", "a church", "--size", "33"),
    ("generate", "a church", "--steps", "5000"),
    ("generate", "a church", "--setps", "3"),
    ("generate", "a church", "--solver", "plms"),
    ("generate", "a church", "--guidance-scale", "much"),
    ("generate", "a church", "--out", "text.txt"),
    ("generate", "a church", "--edit", "missing.safetensors"),
    ("generate", "a church", "--edit", "noise.safetensors"),
    ("generate", "a church", "--edit", "text.txt"),
    *(("generate", "a church", *wrong) for wrong in (*SHARED, *SEEDS)),
]
JUDGE = [
    ("judge",),
    ("judge", "missing.png"),
    ("judge", "noise.png"),
    ("judge", "noise.png", "--by", "picture statistics", "--prompt", "a dog"),
    ("judge", "noise.png", "--by", "picture statistics", "--reference", "nowhere"),
    ("judge", "text.txt"),
    ("judge", "empty"),
    ("judge", "good.png", "--by", "pixel change"),
    ("judge", "good.png", "--by", "features"),
    *(("judge", "good.png", *wrong) for wrong in JUDGES),
]
INFO = [
    ("info", HUB_ID),
    ("info", "missing.safetensors"),
    ("info", "noise.safetensors"),
    ("info", "text.txt"),
    ("info", "empty"),
    ("info", "--kind", "nokind"),
    ("info", "--label", "NOPE*"),
    ("info", "--level", "cell"),
    ("info", "edit.safetensors", "--kind", "x"),
    *(("info", *wrong) for wrong in SHARED),
]
APPLY = [
    ("apply",),
    ("apply", "edit.safetensors"),
    ("apply", "--out", "new"),
    ("apply", "missing.safetensors", "--out", "new"),
    ("apply", "noise.safetensors", "--out", "new"),
    ("apply", "text.txt", "--out", "new"),
    ("apply", "empty", "--out", "new"),
    ("apply", "edit.safetensors:half", "--out", "new"),
    ("apply", "edit.safetensors", "--out", "text.txt"),
    ("apply", "edit.safetensors", "--out", "new", "--rank", "3"),
    ("apply", "edit.safetensors", "--out", "new", "--to", "paper"),
    ("apply", "edit.safetensors", "--out", "new"),  # it is of another model
    *(("apply", "edit.safetensors", "--out", "new", *wrong) for wrong in SHARED),
]
WORLD = [
    ("world", "banana"),
    ("world", "--foo"),
    ("world", "--model", "emoji-46"),
    ("world", "--model", ""),
    ("world", "--model", HUB_ID),
    ("world", "--out", "world.gif"),
    ("world", "--out", "empty"),
    ("world", "--out", "text.txt/world.png"),
]
METHODS = [
    ("nonsense",),
    ("--foo",),
    ("",),
    ("methods", "nope"),
    ("methods", "trace"),
    ("methods", "uce", "--foo"),
    ("methods", "a", "b"),
]
EXPLAIN = [
    ("explain", "a church"),
    ("explain", "a church", "--concept", "chruch"),
    ("explain", "a church", "--concept", "dog"),
    ("explain", "trce", "a church"),
    ("explain", "trace"),
    ("explain", "trace", "a church"),
    ("explain", "trace", "a church", "--concept", "chruch"),
    ("explain", "trace", "a church", "--concept", ""),
    ("explain", "trace", "a church", "--concept", "church", "--steps", "0"),
    ("explain", "maps"),
    ("explain", "maps", "a church", "--threshold", "7"),
    ("explain", "maps", "a church", "--eta", "7"),
    ("explain", "heads", "dog"),
    ("explain", "entangle", "dog"),
    ("explain", "segment", "noise.png", "--concept", "dog"),
    ("explain", "segment", "missing.png", "--concept", "dog"),
    ("explain", "trace", "a church", "--concept", "church", "--out", "text.txt"),
    *(("explain", "trace", "a church", "--concept", "church", *wrong) for wrong in (*SHARED, *SEEDS, *JUDGES)),
    *(("explain", "a church", "--concept", "church", *wrong) for wrong in (*SEEDS[:2], *JUDGES[:3])),
]
ATTACK = [
    ("attack",),
    ("attack", "--against", "original"),
    *(("attack", name) for name in ("missing.safetensors", "noise.safetensors", "text.txt", "empty")),
    ("attack", "church.safetensors:0.5"),
    ("attack", "church.safetensors", "extra"),
    ("attack", "edit.safetensors"),  # it names no concept
    ("attack", "edit.safetensors", "--concept", "church"),  # it is of another model
    *(
        ("attack", "church.safetensors", *wrong)
        for wrong in (
            ("--concept", ""),
            ("--concept", " "),
            ("--concept", "chruch"),
            ("--attack", "nonsense"),
            ("--attack", "uce"),
            ("--attack", "cce", "--share", "0.3"),
            ("--attack", "cce", "--updates", "0"),
            ("--attack", "cce", "--prompt", "no place"),
            ("--attack", "paraphrases", "--file", "missing.txt"),
            ("--attack", "paraphrases", "--file", "noise.png"),
            ("--updates", "3"),
            ("--against", "nothing"),
            ("--by", ""),
            ("--by", "none"),
            ("--by", "clip"),
            ("--by", "pixel change"),
            ("--by", "features"),
            ("--references", "missing.png"),
            ("--references", "empty"),
            ("--references", "noise.png"),
            ("--never", "dragon"),
            ("--never-references", "good.png"),
            ("--never", "dragon", "--never-references", "missing.png"),
            ("--guidance-scale", "nan"),
            ("--max-forward", "0"),
            ("--seed", "-1"),
            ("--seed", "99999999999999999999"),
            ("--out", "text.txt"),
            *SHARED,
            *JUDGES,
        )
    ),
]
ARTEFACT = [
    ("generate", "--artefact", name)
    for name in (
        *("missing.safetensors", "noise.safetensors", "text.txt", "empty", "edit.safetensors", "half.safetensors"),
        *("width.safetensors", "beyond.safetensors", "later.safetensors"),
    )
] + [("generate", "--artefact", "latents.safetensors", *wrong) for wrong in (("--seeds", "7"), ("--size", "16"))]
SIGN = [
    (name, *words)
    for name in ("sign", "verify")
    for words in (
        (),
        ("edit.safetensors",),
        ("missing.safetensors", "--key", "k"),
        ("edit.safetensors", "--key", "text.txt"),
    )
]
WRONG = [
    *SIGN,
    *ERASE,
    *AMPLIFY,
    *BENCH,
    *GENERATE,
    *JUDGE,
    *INFO,
    *APPLY,
    *METHODS,
    *WORLD,
    *EXPLAIN,
    *ATTACK,
    *ARTEFACT,
    ("nonsense",),
    ("--foo",),
    ("",),
]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with files that are not what they are called."""
    folder = tmp_path_factory.mktemp("place")
    (folder / "empty").mkdir()
    (folder / "text.txt").write_text("a church\n")
    (folder / "a.ckpt").write_bytes(b"\x80\x02}q\x00.")
    for name in ("noise.safetensors", "noise.png", "noise.parquet", "binary.yaml"):
        (folder / name).write_bytes(bytes(range(256)) * 4)
    (folder / "pointer.safetensors").write_text(POINTER)
    (folder / "latin.yaml").write_bytes("title: Kirche für alle\n".encode("latin-1"))
    (folder / "noise.yaml").write_text("title: [\n")
    (folder / "empty.yaml").write_text("")
    (folder / "wrong.yaml").write_text("title: x\nmodels: [emoji]\nmethods: [uec]\ncases: [{world: true}]\n")
    for name, index in (("broken-index", "{"), ("other-pipeline", '{"_class_name": "KandinskyPipeline"}')):
        (folder / name).mkdir()
        (folder / name / "model_index.json").write_text(index)
    from PIL import Image

    Image.new("RGB", (32, 32)).save(folder / "good.png")
    Edit({"unet.conv_in.bias": torch.ones(2)}, Provenance(base="0" * 64)).save(folder / "edit.safetensors")
    church = Provenance(concepts=(Concept("church"),), base="0" * 64)
    Edit({"unet.conv_in.bias": torch.ones(2)}, church).save(folder / "church.safetensors")
    write_artefacts(folder)
    return folder


def write_artefacts(folder: Path) -> None:
    """Write artefacts that are damaged, or that do not fit the embedded model."""
    model, prompts = load(), ("a church",)
    latents = torch.zeros(2, *model.latent_shape())
    parts = {
        "width": Artefact(("a <concept>",), vectors={"text": torch.zeros(1, 3)}),
        "beyond": Artefact(prompts, ids={"text": torch.full((1, model.tokens), 10**6)}),
        "latents": Artefact(prompts, latents=latents),
        "later": Artefact(prompts, latents=latents, first=2, steps=7),
    }
    for name, artefact in parts.items():
        artefact.save(folder / f"{name}.safetensors")
    (folder / "half.safetensors").write_bytes((folder / "width.safetensors").read_bytes()[:-7])


def files_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("tokens", WRONG, ids=lambda tokens: " ".join(tokens).encode("ascii", "replace").decode())
def test_a_mistake_is_one_sentence_and_exit_code_2(
    tokens: tuple[str, ...], place: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    before = files_in(place)
    code, out, err = command(*tokens)
    assert (code, out) == (2, "")
    assert err.count("\n") == 1 and err.endswith((".\n", "?\n"))
    assert "Traceback" not in err and "Error:" not in err
    assert not [word for word in ("__init__", "NoneType", "positional argument", "Retrying") if word in err]
    assert files_in(place) == before


def test_all_that_is_wrong_in_a_file_is_said_with_its_lines(place: Path, command: Command) -> None:
    code, out, err = command("bench", str(place / "wrong.yaml"))
    assert (code, out) == (2, "")
    assert [line.partition("wrong.yaml, ")[2] for line in err.splitlines()] == [
        "line 3: No method is called 'uec': did you mean 'uce'?",
        "line 4: world cannot be true.",
    ]


# Each is refused by what its command line says alone.
LIGHT = [
    *(("erase", word) for word in ("", "chruch")),
    *(
        ("erase", "church", *flags)
        for flags in (*SHARED[:9], ("--device", "banana"), *SEEDS[:2], JUDGES[0], ("--foo",))
    ),
    ("erase", "church", "--keep", "dgo"),
    ("erase", "church", "--measure", "fdi of features"),
    ("amplify", "chruch"),
    ("bench", "nope"),
    ("bench", "wrong.yaml"),
    ("bench", "emoji-objects", "--set", "concepts=[chruch]"),
    ("bench", "emoji-objects", "--set", "judges=[nobody]"),
    ("bench", "emoji-objects", "--set", "models=[nowhere]"),
    ("generate", "a church", "--seeds", "x"),
    ("generate", "a church", "--model", "nowhere"),
    ("generate", "a church", "--out", "text.txt"),
    ("judge", "good.png", "--by", "nobody"),
    ("info", "--model", "nowhere"),
    ("explain", "a church", "--concept", "chruch"),
    *(
        ("explain", "trace", "a church", "--concept", "church", *flags)
        for flags in (SHARED[0], SEEDS[0], JUDGES[0], ("--device", "banana"))
    ),
    ("explain", "trace", "a church", "--concept", "chruch"),
    *(
        ("attack", "--against", "original", "--concept", "church", *flags)
        for flags in (SHARED[0], JUDGES[0], ("--device", "banana"), ("--seed", "-1"), ("--references", "noise.png"))
    ),
    ("attack", "--against", "original", "--concept", "chruch"),
    ("attack", "--against", "original", "--concept", "church", "--attack", "nonsense"),
    *(
        ("audit", "church.safetensors", *flags)
        for flags in (
            ("--minutes", "0"),
            ("--minutes", "nan"),
            ("--attack", "uce"),
            ("--never", "dog"),
            ("--concept", "chruch"),
            ("--guidance-scale", "inf"),
            JUDGES[0],
        )
    ),
]


def test_arguments_are_refused_before_torch_is_imported(place: Path) -> None:
    code = (
        "import json, sys; from turpentine.cli.app import run\n"
        "for tokens in json.loads(sys.argv[1]):\n"
        "    assert run(tokens) == 2, tokens\n"
        "    assert 'torch' not in sys.modules, tokens"
    )
    done = subprocess.run([sys.executable, "-c", code, json.dumps(LIGHT)], cwd=place, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "tokens", [("erase", "chruch"), ("bench", "nope"), ("info", "--model", "nowhere"), ("apply",), ("attack",)]
)
def test_an_error_is_json_where_json_is_to_come(tokens: tuple[str, ...], place: Path, command: Command) -> None:
    code, out, err = command(*tokens, "--json")
    assert (code, out) == (2, "")
    assert json.loads(err)["error"] == command(*tokens)[2].strip()
