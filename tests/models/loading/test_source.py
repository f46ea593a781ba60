"""Where a model is: what is none is refused in one sentence, before torch is imported."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from huggingface_hub import HfApi
from huggingface_hub.errors import RepositoryNotFoundError
from tiny import tiny_sd1

from turpentine.core.errors import ModelNotFound, UnsafeFile
from turpentine.models import Model, load
from turpentine.models.loading.safe_reading import NoNetwork
from turpentine.models.loading.source import check_source

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 335\n"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Stable Diffusion 1; shared, so leave it as it was."""
    folder = tmp_path_factory.mktemp("whole")
    tiny_sd1().save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    ("name", "content", "error", "sentence"),
    [
        ("empty", None, ModelNotFound, "empty holds no model in diffusers' layout: it has no model_index.json."),
        ("a.ckpt", "x", UnsafeFile, "a.ckpt is a pickle"),
        ("a.safetensors", POINTER, ModelNotFound, "a pointer of Git LFS and not the file itself: fetch it by git lfs"),
        ("a.txt", "x", ModelNotFound, "There is no model at .*a.txt: give a diffusers folder"),
    ],
)
def test_what_is_no_model_is_refused_by_name(
    tmp_path: Path, name: str, content: str | None, error: type[Exception], sentence: str
) -> None:
    path = tmp_path / name
    path.mkdir() if content is None else path.write_text(content)
    with pytest.raises(error, match=sentence):
        check_source(str(path))


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("emoij", "'emoji'"),
        ("emoji-65", "'emoji-64'"),
        ("emoji-mmdti", "'emoji-mmdit'"),
        ("emojiwithout-church", "'emoji-without-church'"),
    ],
)
def test_a_misspelt_model_that_ships_is_offered(name: str, meant: str) -> None:
    with pytest.raises(ModelNotFound, match=f"There is no model at {name}: did you mean .*{meant}"):
        check_source(name)


@pytest.mark.parametrize(
    ("raised", "sentence"),
    [
        (
            NoNetwork("[Errno -2] Name or service not known"),
            "which cannot be reached: give a folder, or connect to it.",
        ),
        (ConnectionError("refused"), "which cannot be reached"),
        (RuntimeError("Cannot send a request, as the client has been closed."), "which cannot be reached"),
    ],
)
def test_a_hub_that_cannot_be_reached_is_asked_once(
    monkeypatch: pytest.MonkeyPatch, raised: Exception, sentence: str
) -> None:
    calls: list[str] = []

    def unreachable(_: HfApi, name: str, **__: object) -> None:
        calls.append(name)
        raise raised

    monkeypatch.setattr(HfApi, "model_info", unreachable)
    with pytest.raises(ModelNotFound, match=sentence):
        check_source("somebody/some-model")
    assert calls == ["somebody/some-model"]


def test_a_name_that_the_hub_does_not_have_is_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    error = RepositoryNotFoundError.__new__(RepositoryNotFoundError)
    monkeypatch.setattr(HfApi, "model_info", lambda *_, **__: (_ for _ in ()).throw(error))
    with pytest.raises(ModelNotFound, match=r"'somebody/some-model' is neither a folder here .* none of this name"):
        check_source("somebody/some-model")


def test_side_files_and_pointers_beside_good_ones_change_nothing(whole: Path, tmp_path: Path, sd1: Model) -> None:
    folder = shutil.copytree(whole, tmp_path / "model")
    for part in ("unet", "vae", "text_encoder"):
        (good,) = (folder / part).glob("*.safetensors")
        (folder / part / f"._{good.name}").write_bytes(b"\0\x05\x16\x07 Mac OS X")
        (folder / part / good.name.replace(".safetensors", ".non_ema.safetensors")).write_text(POINTER)
    (folder / "._model_index.json").write_bytes(b"\0\x05\x16\x07")
    assert load(folder).fingerprint == sd1.fingerprint


@pytest.mark.parametrize("part", ["unet", "text_encoder"])
def test_a_pointer_in_the_place_of_weights_is_named_with_the_way_out(whole: Path, tmp_path: Path, part: str) -> None:
    folder = shutil.copytree(whole, tmp_path / "model")
    (good,) = (folder / part).glob("*.safetensors")
    good.write_text(POINTER)
    with pytest.raises(ModelNotFound, match=rf"{good.name} is a pointer of Git LFS .* git lfs pull"):
        load(folder)
