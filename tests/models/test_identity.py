"""Which model it is, and that whatever decides its numbers is in every key on disk."""

import json
from collections.abc import Callable
from contextlib import contextmanager, nullcontext

import pytest
import torch
from bench.stubs import QUICK
from diffusers import DDIMScheduler
from tiny import tiny_sd1, tiny_sd2_v, tiny_sdxl, tiny_tokenizer

from turpentine.bench.erasure import _identity
from turpentine.cli.picture_files import planned
from turpentine.concepts import Concept
from turpentine.core.errors import EditError
from turpentine.core.hashing import digest
from turpentine.edits import Edit
from turpentine.erase.common import checkpoint_of, provenance_of
from turpentine.erase.esd import ESD
from turpentine.erase.guidance import NegativePrompt
from turpentine.explain import Intervene, Tour
from turpentine.explain.cache import parts_of
from turpentine.explain.tour import Stop
from turpentine.judges import PictureStatistics
from turpentine.models import Model, load
from turpentine.models.identity import describe
from turpentine.runs.plan import Plan
from turpentine.runs.specs import Condition, JudgeSpec, ModelSpec
from turpentine.tasks.cases import Case


def test_equal_models_have_one_and_others_another(sd1, sd2):
    assert Model(tiny_sd1()).fingerprint == sd1.fingerprint
    assert Model(tiny_sd2_v()).fingerprint == sd2.fingerprint != sd1.fingerprint
    assert len(sd1.fingerprint) == 64


def test_files_in_half_precision_have_one_in_either(tmp_path):
    tiny_sd1().to(dtype=torch.float16).save_pretrained(tmp_path)
    half, full = (load(tmp_path, dtype=dtype) for dtype in (torch.float16, torch.float32))
    assert half.dtype == torch.float16
    assert full.dtype == torch.float32
    assert half.fingerprint == full.fingerprint


def test_files_in_full_precision_have_one_in_either(sd1, tmp_path):
    tiny_sd1().save_pretrained(tmp_path)
    assert load(tmp_path, dtype=torch.float16).fingerprint == load(tmp_path).fingerprint == sd1.fingerprint


def test_bf16_has_the_one_of_the_files(sd1, tmp_path):
    tiny_sd1().save_pretrained(tmp_path)
    model = load(tmp_path, dtype=torch.bfloat16)
    assert {weight.dtype for part in model.components.values() for weight in part.parameters()} == {torch.bfloat16}
    assert model.fingerprint == sd1.fingerprint
    assert load(tiny_sd1(), dtype=torch.bfloat16).fingerprint == sd1.fingerprint


def test_what_half_precision_loses_is_told_apart_and_an_edit_leaves_it(tmp_path):
    full, half = Model(tiny_sd1()), Model(tiny_sd1())
    for network in half.components.values():
        for weight in network.parameters():
            weight.data.copy_(weight.data.half().float())
    assert half.fingerprint == full.fingerprint
    assert full.remainder != half.remainder == ""
    before = full.remainder
    with EDITS[0].on(full):
        assert full.remainder == before


@pytest.mark.parametrize("component", ["unet", "vae", "text_encoder"])
def test_one_weight_changes_it(sd1, component):
    model = Model(tiny_sd1())
    next(model.components[component].parameters()).data.view(-1)[0] += 1
    assert model.fingerprint != sd1.fingerprint


def test_a_config_changes_it(sd1):
    pipeline = tiny_sd1()
    pipeline.vae.register_to_config(scaling_factor=0.6)
    assert Model(pipeline).fingerprint != sd1.fingerprint


def test_it_is_kept():
    model = Model(tiny_sd1())
    before = model.fingerprint
    model.parameter("unet.conv_in.bias").data += 1
    assert model.fingerprint == before


CHURCH = Concept("church")
EDITS = [Edit({"unet.conv_in.bias": torch.full((8,), value)}) for value in (0.1, 0.2)]


@contextmanager
def both(model, changes):
    """The model with several changes on it."""
    for change in changes:
        change.apply(model)
    try:
        yield model
    finally:
        for change in changes:
            change.remove(model)


def changed(change, pipeline=tiny_sd1):
    """A tiny model with something done to its pipeline."""

    def build():
        model = Model(pipeline())
        change(model.pipeline)
        return nullcontext(model)

    return build


def other_weight(pipeline):
    pipeline.unet.conv_norm_out.weight.data[0] += 1  # from 1 to 2, which half precision holds


def rounded(pipeline):
    """In half precision both are the same, and in full precision they draw differently."""
    weight = pipeline.unet.conv_in.weight.data
    weight.copy_(weight.half().float())


def with_one_more_merge(pipeline):
    tokenizer = tiny_tokenizer()
    tokenizer.add_tokens(["zzz"])
    pipeline.tokenizer = tokenizer


def trailing(pipeline):
    pipeline.scheduler = DDIMScheduler.from_config(pipeline.scheduler.config, timestep_spacing="trailing")


def left_open(pipeline):
    """As a config is that leaves a setting to its class: another solver takes its own default there."""
    config = {key: value for key, value in pipeline.scheduler.config.items() if not key.startswith("_")}
    assert config.pop("timestep_spacing") == "leading"
    pipeline.scheduler = DDIMScheduler.from_config(config)
    assert pipeline.scheduler.config.timestep_spacing == "leading"


OTHERS = {
    "weights": changed(other_weight),
    "remainder": changed(rounded),
    "formats": changed(lambda pipeline: pipeline.vae.to(torch.float64)),
    "configs": changed(lambda pipeline: pipeline.unet.register_to_config(act_fn="gelu")),
    "schedule": changed(trailing),
    "schedule, defaults": changed(left_open),
    "text, zeros": changed(lambda pipeline: pipeline.register_to_config(force_zeros_for_empty_prompt=True)),
    "text, tokenizer": changed(with_one_more_merge),
    "text, no tokenizer": changed(lambda pipeline: pipeline.__setattr__("tokenizer", None)),
    "text, padding": changed(lambda pipeline: pipeline.tokenizer.__setattr__("padding_side", "left")),
    "changes, one": lambda: both(Model(tiny_sd1()), EDITS[:1]),
    "changes, two": lambda: both(Model(tiny_sd1()), EDITS),
    "changes, other order": lambda: both(Model(tiny_sd1()), EDITS[::-1]),
    "changes, other strength": lambda: both(Model(tiny_sd1()), [EDITS[0].scaled(0.5)]),
    "changes, guidance": lambda: both(model := Model(tiny_sd1()), [NegativePrompt()(model, CHURCH)]),
}
"""Models that differ from a tiny one in one field of the description alone."""


def keys(model, folder):
    """The key of each store on disk for the same work."""
    source = ModelSpec.of(model, "toy")
    judges = (JudgeSpec.of(PictureStatistics()),)
    case, esd = Case("erased", "church", "a church", None, None), ESD(steps=1)
    edited = Condition.edited(source, esd, (CHURCH,), (case,), QUICK, judges)
    plan = Plan([edited, Condition(source, (case,), QUICK, judges)])
    tour = Tour("a church", "church", seeds=(0,), steps=1)
    instrument = Intervene(("q1",), steps=1)
    stop = Stop("windows", "", 0, 0, instrument, lambda *_: None)
    return {
        "edit": edited.edit_spec.key,
        "line": edited.id,
        "pictures": {job.batch.key for job in plan.jobs},
        "scores": {plan.score_key(job, judges[0]) for job in plan.jobs},
        "checkpoint": checkpoint_of(folder, model, provenance_of(esd, model, (CHURCH,))).path("state"),
        "instrument": parts_of(folder, model, instrument).path("part"),
        "tour": tour._records(stop, model, folder, None).path("stop"),
        "run.json": digest(_identity(esd, edited, "erase", ())["model"]),
        "png": {digest(each.recipe) for each in planned(["a church"], [0], folder, {"model": describe(model)})},
    }


@pytest.mark.parametrize("field", OTHERS)
def test_models_that_differ_in_one_field_alone_share_no_key_in_any_store(field, sd1, tmp_path):
    before = keys(sd1, tmp_path)
    with OTHERS[field]() as other:
        facts, own = describe(other), describe(sd1)
        assert [name for name in own if own[name] != facts[name]] == [field.split(",")[0]]
        after = keys(other, tmp_path)
    for store, key in before.items():
        assert key.isdisjoint(after[store]) if isinstance(key, set) else key != after[store], store


def test_other_code_that_draws_shares_no_key_in_any_store(sd1, tmp_path, monkeypatch):
    before = keys(sd1, tmp_path)
    monkeypatch.setattr("turpentine.models.identity.REVISION", "of tomorrow")
    after = keys(sd1, tmp_path)
    for store, key in before.items():
        assert key.isdisjoint(after[store]) if isinstance(key, set) else key != after[store], store


def test_other_code_of_a_method_makes_other_edits_pictures_and_checkpoints_of_them(sd1, tmp_path, monkeypatch):
    before = keys(sd1, tmp_path)
    monkeypatch.setattr(ESD, "revision", "of tomorrow")
    after = keys(sd1, tmp_path)
    changed = {store for store, key in before.items() if key != after[store]}
    assert changed == {"edit", "line", "pictures", "scores", "checkpoint"}
    assert before["pictures"] & after["pictures"]  # those without the edit are as they were


def test_the_kind_of_device_counts(sd1, monkeypatch):
    before = describe(sd1)
    monkeypatch.setattr(Model, "device", torch.device("cuda:1"))
    assert describe(sd1) == {**before, "device": "cuda"}


@pytest.mark.parametrize("pipeline", [tiny_sd1, tiny_sd2_v, tiny_sdxl])
def test_a_model_is_described_alike_whatever_it_was_loaded_from_and_has_done(pipeline, tmp_path):
    model = Model(pipeline())
    before = describe(model)
    model.generate("a church", steps=1)
    pipeline().save_pretrained(tmp_path)
    assert describe(model) == describe(load(tmp_path, device="cpu")) == before
    assert json.loads(json.dumps(before)) == before


def test_each_of_these_models_has_a_description_of_its_own():
    found = set()
    for field in OTHERS:
        with OTHERS[field]() as model:
            found.add(digest(describe(model)))
    assert len(found) == len(OTHERS)


def fused(model: Model) -> None:
    """As PEFT fuses a LoRA: behind the back of autograd, which counts changes."""
    weight = model.denoiser.down_blocks[0].attentions[0].transformer_blocks[0].attn2.to_k.weight
    weight.data += 0.01


def loaded(model: Model) -> None:
    state = {name: weight + 0.01 for name, weight in model.vae.state_dict().items()}
    model.vae.load_state_dict(state)


def replaced(model: Model) -> None:
    torch.manual_seed(5)
    model.pipeline.vae = type(model.vae)(**model.vae.config).eval()


def edited_by_another(model: Model) -> None:
    other = Model(model.pipeline)
    Edit({"unet.conv_in.bias": torch.ones(8)}).apply(other)


@pytest.mark.parametrize("change", [fused, loaded, replaced, edited_by_another])
def test_weights_that_are_changed_after_the_fingerprint_was_read_are_another_description(
    change: Callable[[Model], None],
) -> None:
    model = Model(tiny_sd1())
    before = describe(model)
    change(model)
    after = describe(model)
    assert before["weights"] != after["weights"]
    assert after == describe(Model(model.pipeline)), "it is that of a model that never was another one"


def test_weights_that_are_changed_beside_an_edit_are_named_and_the_edit_comes_off() -> None:
    model, edit = Model(tiny_sd1()), Edit({"unet.conv_in.bias": torch.ones(8)})
    with edit.on(model):
        assert describe(model)["changes"] == [edit.id]
        fused(model)
        with pytest.raises(EditError, match=r"unet\.down_blocks.*was changed by something else while edits are on"):
            describe(model)
    assert describe(model) == describe(Model(model.pipeline))


def test_edits_and_number_formats_are_no_changes_of_the_base() -> None:
    model, edit = Model(tiny_sd1()), Edit({"unet.conv_in.bias": torch.ones(8)})
    weights = describe(model)["weights"]
    with edit.on(model):
        for dtype in ("bfloat16", "float16"):
            model.to(dtype)
            assert describe(model)["weights"] == weights
    assert describe(model)["weights"] == weights
