"""Guidance changes as values: on and off, several at once, scaled, and as files; and files of either kind of change."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from edits.weights import made_up

from turpentine.concepts import Concept
from turpentine.core.errors import BadArgument, EditError, NotFinite, TurpentineError, WrongBase
from turpentine.core.hashing import digest
from turpentine.core.plugins import METHODS, plugins
from turpentine.edits import Edit, GuidanceChange, Provenance, guidances_of, load_change, stack_of
from turpentine.erase.cad import CAD
from turpentine.erase.cad_amplify import CADAmplify
from turpentine.erase.conceptprune import ConceptPrune
from turpentine.erase.diff_quickfix import DiffQuickFix
from turpentine.erase.esd import ESD
from turpentine.erase.guidance import SLD, NegativePrompt
from turpentine.erase.loco_edit import LocoEdit
from turpentine.erase.rece import RECE
from turpentine.erase.uce import UCE
from turpentine.erase.uce_debias import UCEDebias
from turpentine.models import Blend, ClassifierFree, Model

CHURCH, CAT = Concept("church", keep=("dog",)), Concept("cat", templates=("a {}",))


def _drawn(model: Model, **settings: Any) -> Any:
    return np.asarray(model.generate("a dog", **{"steps": 3, **settings})[0]).astype(int)


@pytest.fixture
def sld(sd1: Model) -> GuidanceChange:
    return SLD(warmup=0)(sd1, CHURCH)


def test_on_and_off(sd1: Model, sld: GuidanceChange) -> None:
    plain = _drawn(sd1)
    with sld.on(sd1):
        assert guidances_of(sd1) == (sld,)
        assert (_drawn(sd1) != plain).any()
        assert (_drawn(sd1, guidance=ClassifierFree()) == plain).all()
    assert sd1.guidance is None
    assert (_drawn(sd1) == plain).all()
    assert (_drawn(sd1, guidance=sld) != plain).any()


def test_it_comes_off_after_an_error_and_once_only(sd1: Model, sld: GuidanceChange) -> None:
    with pytest.raises(RuntimeError, match="the screen is gone"), sld.on(sd1):
        raise RuntimeError("the screen is gone")
    assert sd1.guidance is None
    with pytest.raises(EditError, match="is not on this model"):
        sld.remove(sd1)
    with sld.on(sd1):
        with pytest.raises(EditError, match="is on this model already"):
            sld.apply(sd1)
        sld.remove(sd1)
    assert sd1.guidance is None


@pytest.mark.parametrize("guidance_scale", [1.0, 4.0])
def test_strength_0_changes_no_bit(sd1: Model, sld: GuidanceChange, guidance_scale: float) -> None:
    plain = _drawn(sd1, guidance_scale=guidance_scale)
    for change in (sld, NegativePrompt()(sd1, CHURCH)):
        with change.scaled(0).on(sd1):
            assert (_drawn(sd1, guidance_scale=guidance_scale) == plain).all()


def test_several_blend_each_at_its_strength(sd1: Model) -> None:
    """ε_w + Σ sᵢ·(εᵢ − ε_w), with each εᵢ from its own rows."""
    first, second = SLD(warmup=0)(sd1, CHURCH), NegativePrompt()(sd1, CAT).scaled(0.5)
    uncond, cond, church, cat = torch.randn(4, 2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    plain = uncond + 3 * (cond - uncond)
    led = uncond + 3 * (cond - uncond - SLD(warmup=0).gamma(uncond, cond, church, 0.0))
    negative = cat + 3 * (cond - cat)
    with first.on(sd1), second.on(sd1):
        assert sd1.guidance is not None
        run = sd1.guidance.start(sd1, 2, 3.0, 4)
        assert run.extra is not None and len(run.extra) == 4
        torch.testing.assert_close(run.extra.hidden[::2], sd1.encode(["church", "a cat"]).hidden)
        found = run(0, uncond, cond, torch.cat([church, cat]))
    torch.testing.assert_close(found, led + 0.5 * (negative - plain), rtol=1e-4, atol=1e-4)


def test_the_first_comes_off_under_the_second(sd1: Model, sld: GuidanceChange) -> None:
    other = NegativePrompt()(sd1, CAT)
    alone = _drawn(sd1, guidance=other)
    with sld.on(sd1), other.on(sd1):
        sld.remove(sd1)
        assert guidances_of(sd1) == (other,)
        assert (_drawn(sd1) == alone).all()


def test_a_blend_of_nothing_is_plain_guidance(sd1: Model) -> None:
    assert (_drawn(sd1, guidance=Blend(())) == _drawn(sd1)).all()


def test_all_that_is_on_is_listed(sd1: Model, sld: GuidanceChange) -> None:
    edit = made_up(sd1)
    with sld.on(sd1), edit.on(sd1):
        assert stack_of(sd1).ids == (edit.id, sld.id)
        assert NegativePrompt()(sd1, CAT).provenance.onto == (edit.id, sld.id)
    assert stack_of(sd1).ids == ()


PLAIN = ("{}",)
EDITING = (
    ESD(steps=1, trajectories=1, sampling_steps=2),
    ESD(steps=1, trajectories=1, sampling_steps=2, fresh=True),
    UCE(templates=PLAIN),
    UCEDebias(("house", "dog"), rounds=1, pictures=1, sampling_steps=2, clip_model="emoji", templates=PLAIN),
    RECE(rounds=1, templates=PLAIN),
    LocoEdit(sites="UP2", templates=PLAIN),
    DiffQuickFix(templates=PLAIN, anchor="house"),
    CAD(share=0.05, sampling_steps=2),
    CADAmplify(share=0.05, pictures=1, draws=1, sampling_steps=2),
    ConceptPrune(share=0.2, pairs=1, sampling_steps=2, window=(0.0, 0.5)),
)


def test_every_method_that_edits_weights_is_here() -> None:
    assert {*map(type, EDITING)} == {
        cls for cls in (each.load() for each in plugins(METHODS).values()) if not hasattr(cls, "guidance")
    }


@pytest.mark.parametrize("method", EDITING, ids=lambda method: type(method).__name__)
def test_weights_are_edited_as_without_guidance(method: Any, sd1: Model, sld: GuidanceChange) -> None:
    plain = method(sd1, CHURCH)
    with sld.on(sd1):
        assert method(sd1, CHURCH) == plain


def test_a_negative_prompt_that_would_do_nothing_is_refused(sd1: Model, sld: GuidanceChange) -> None:
    with NegativePrompt()(sd1, CHURCH).on(sd1), pytest.raises(BadArgument, match="'a cat' would do nothing"):
        _drawn(sd1, negative_prompt="a cat")
    with sld.on(sd1):
        _drawn(sd1, negative_prompt="a cat", steps=1)


def test_what_is_the_same_has_the_same_id(sd1: Model, sld: GuidanceChange) -> None:
    assert SLD(warmup=0)(sd1, CHURCH) == sld
    others = [SLD()(sd1, CHURCH), SLD(warmup=0)(sd1, CAT), sld.scaled(0.5), NegativePrompt()(sd1, CHURCH)]
    assert len({sld, *others}) == 5
    assert sld.scaled(0.5).scaled(2) == sld
    with pytest.raises(NotFinite):
        sld.scaled(float("nan"))


# Files


def test_a_file_brings_it_back(sd1: Model, sld: GuidanceChange, tmp_path: Path) -> None:
    for change in (sld.scaled(0.5), NegativePrompt(text="a red car")(sd1, (CHURCH, CAT))):
        change.save(tmp_path / "change")
        again = load_change(tmp_path / "change")
        assert isinstance(again, GuidanceChange)
        assert again == change
        assert (again.provenance, again.guidance) == (change.provenance, change.guidance)
        assert (_drawn(sd1, guidance=again) == _drawn(sd1, guidance=change)).all()
    assert json.loads((tmp_path / "change").read_text())["record"]["provenance"]["base"] == sd1.fingerprint


def test_an_edits_file_is_told_by_its_content(sd1: Model, tmp_path: Path) -> None:
    edit = made_up(sd1)
    edit.save(tmp_path / "edit.json")
    assert load_change(tmp_path / "edit.json") == edit
    for name in ("no.json", "no.safetensors"):
        with pytest.raises(EditError, match=rf"no .* at .*{name}"):
            load_change(tmp_path / name)


def test_every_flipped_or_missing_byte_is_found(sld: GuidanceChange, tmp_path: Path) -> None:
    path = tmp_path / "guidance.json"
    sld.save(path)
    whole = path.read_bytes()
    for place in range(0, len(whole), 37):
        for damaged in (whole[:place], whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]):
            path.write_bytes(damaged)
            with suppress(EditError):
                assert load_change(path) == sld, "only white space may differ"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"method": "Unheard"}, "'Unheard', which is no guidance method here"),
        ({"method": "ESD"}, "'ESD', which is no guidance method here"),
        ({"settings": {"scale": -1.0}}, "does not take: SLD's scale is -1.0"),
        ({"settings": {"brush": 1}}, "brush"),
        ({"concepts": 3}, "cannot|lacks|iterable"),
    ],
)
def test_a_record_that_cannot_be_is_refused(
    sd1: Model, tmp_path: Path, change: dict[str, Any], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = {**SLD()(sd1, CHURCH).provenance.to_json(), **change}
    monkeypatch.setattr(Provenance, "to_json", lambda self: record)
    SLD()(sd1, CHURCH).save(tmp_path / "guidance.json")
    with pytest.raises(EditError, match=said):
        GuidanceChange.load(tmp_path / "guidance.json")


def test_another_model_is_refused(sd1: Model, sd2: Model, sld: GuidanceChange) -> None:
    with pytest.raises(WrongBase, match="was made for"):
        sld.apply(sd2)
    assert sd2.guidance is None


def test_a_guidance_set_by_hand_is_not_lost(sd1: Model, sld: GuidanceChange) -> None:
    sd1.guidance = ClassifierFree()
    try:
        with pytest.raises(EditError, match="set by hand"):
            sld.apply(sd1)
    finally:
        sd1.guidance = None


def test_an_edit_and_a_guidance_know_what_both_must(sd1: Model, sld: GuidanceChange) -> None:
    for change in (sld, made_up(sd1)):
        assert isinstance(change, Edit | GuidanceChange)
        for name in ("id", "strength", "provenance", "apply", "remove", "on", "scaled", "save"):
            assert hasattr(change, name)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"strength": "1"}, "its strength is '1' and no number"),
        ({"strength": float("nan")}, "its strength is nan"),
        ({"provenance": [1]}, "its record holds"),
        ({"weights": [1]}, "holds 'weights', which no guidance has"),
        ({"signature": {"public_key": "", "value": ""}}, "is none of Ed25519"),
        ({"provenance": {"method": 7, "concepts": []}}, "its record holds 7 as 'method'"),
    ],
)
def test_a_record_sealed_anew_over_what_no_guidance_has_is_one_sentence(
    sd1: Model, tmp_path: Path, change: dict[str, object], problem: str
) -> None:
    path = tmp_path / "guidance.json"
    NegativePrompt()(sd1, Concept("church")).save(path)
    content = json.loads(path.read_text())
    record = {**content["record"], **change}
    path.write_text(json.dumps({**content, "record": record, "sha256": digest(record)}))
    with pytest.raises(TurpentineError, match=problem) as caught:
        GuidanceChange.load(path)
    assert str(path) in str(caught.value)


def test_a_guidance_of_gigabytes_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "guidance.json").open("wb") as file:
        file.write(b"{")
        file.truncate(2**34)
    with pytest.raises(EditError, match="none is larger"):
        GuidanceChange.load(tmp_path / "guidance.json")
