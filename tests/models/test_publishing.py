"""Uploads to a hub on this machine: all files in one commit, with a card; and nothing without being asked."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hub import Hub, running_hub
from huggingface_hub import constants
from tiny import tiny_sd1

from turpentine.concepts import Concept
from turpentine.core.errors import BadArgument, EditError, ModelNotFound, UploadError
from turpentine.edits import Edit, GuidanceChange, load_change
from turpentine.erase.guidance import NegativePrompt
from turpentine.erase.uce import UCE
from turpentine.models import Model, load


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    with running_hub(monkeypatch) as hub:
        yield hub


def front(card: bytes) -> dict[str, object]:
    lines = card.decode().split("---\n")[1].splitlines()
    return {name: json.loads(value) for name, _, value in (line.partition(": ") for line in lines)}


def test_an_edit_goes_to_the_hub_and_comes_back(sd1: Model, hub: Hub) -> None:
    edit = 0.5 * UCE()(sd1, Concept("church"))
    url = edit.push_to_hub("me/no-church", token=hub.token, private=True, commit_message="Take the church off")
    assert url == f"{hub.address}/me/no-church"
    files = hub.repositories["me/no-church"]
    assert set(files) == {"edit.safetensors", "README.md"} and hub.private == {"me/no-church": True}
    assert hub.messages == ["Take the church off"], "one commit"
    card = files["README.md"]
    assert front(card)["library_name"] == "turpentine" and "UCE" in front(card)["tags"]  # type: ignore[operator]
    for words in ("# UCE (2025) of church × 0.50", '"me/no-church"', "with change.on(model)", "| strength | 0.5 |"):
        assert words in card.decode()
    assert Edit.from_pretrained("me/no-church") == edit


def test_a_guidance_goes_there_too(sd1: Model, hub: Hub) -> None:
    change = NegativePrompt()(sd1, Concept("church"))
    change.push_to_hub("me/not-a-church", token=hub.token)
    assert set(hub.repositories["me/not-a-church"]) == {"guidance.json", "README.md"}
    assert hub.private == {"me/not-a-church": False}
    assert GuidanceChange.from_pretrained("me/not-a-church") == change


def test_an_edited_model_goes_there_as_a_pipeline(hub: Hub, tmp_path: Path) -> None:
    model = Model(tiny_sd1(), "CompVis/stable-diffusion-v1-4")
    edit = UCE()(model, Concept("church"))
    with edit.on(model):
        model.push_to_hub("me/edited", token=hub.token)
        edited = model.generate("a church", steps=1)[0]
    files = hub.repositories["me/edited"]
    assert front(files["README.md"])["base_model"] == "CompVis/stable-diffusion-v1-4"
    assert "UCE \\(2025\\) of church" in files["README.md"].decode() or "UCE (2025) of church" in str(
        files["README.md"]
    )
    assert json.loads(files["turpentine.json"])["edits"][0]["id"] == edit.id
    for path, content in files.items():
        (tmp_path / "copy" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "copy" / path).write_bytes(content)
    assert load(tmp_path / "copy").generate("a church", steps=1)[0] == edited


def test_what_the_hub_refuses_is_one_sentence(sd1: Model, hub: Hub) -> None:
    edit = UCE()(sd1, Concept("church"))
    with pytest.raises(UploadError, match=r"^me/x could not be uploaded: .*token[^\n]*$"):
        edit.push_to_hub("me/x", token="hf_wrong")
    with pytest.raises(BadArgument, match="owner and name"):
        edit.push_to_hub("no-church", token=hub.token)
    assert hub.repositories == {}
    with pytest.raises(ModelNotFound, match=r"edit\.safetensors of 'me/x' is neither here"):
        Edit.from_pretrained("me/x")


def test_without_a_network_it_is_one_sentence(sd1: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    edit = UCE()(sd1, Concept("church"))
    with pytest.raises(UploadError, match="me/x could not be uploaded"):
        edit.push_to_hub("me/x", token="hf_any")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")  # where nobody listens
    with pytest.raises(UploadError, match="me/x could not be uploaded"):
        edit.push_to_hub("me/x", token="hf_any")


def test_saving_sends_nothing(sd1: Model, hub: Hub, tmp_path: Path) -> None:
    edit = UCE()(sd1, Concept("church"))
    edit.save_pretrained(tmp_path / "no-church")
    assert {path.name for path in (tmp_path / "no-church").iterdir()} == {"edit.safetensors", "README.md"}
    assert Edit.from_pretrained(tmp_path / "no-church") == edit
    assert load_change(tmp_path / "no-church" / "edit.safetensors") == edit
    sd1.save_pretrained(tmp_path / "model")
    assert hub.requests == []


def test_a_guidance_is_in_no_weights(sd1: Model, tmp_path: Path) -> None:
    with NegativePrompt()(sd1, Concept("church")).on(sd1):
        with pytest.raises(EditError, match="which no weights hold"):
            sd1.save_pretrained(tmp_path / "model")
        with pytest.raises(EditError, match="which no weights hold"):
            sd1.push_to_hub("me/model", token="hf_any")
    assert not list(tmp_path.iterdir())
