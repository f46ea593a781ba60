"""The curves over the steps against plain transcriptions."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from explain.joint import own_tokens, steps_of
from PIL import Image
from torch import Tensor
from torch.overrides import TorchFunctionMode

from turpentine.explain.dynamics import Dynamics
from turpentine.models import Model, record, sample
from turpentine.models.text import find_subject
from turpentine.testing.toys import toy

PROMPTS, SEEDS, STEPS = ["a church", "a dog and a church"], [0, 1], 4


@pytest.fixture(scope="module")
def found(sd1: Model):
    return Dynamics(steps=STEPS, strip=3)(sd1, PROMPTS, SEEDS)


def run(model: Model) -> list:
    cond, empty = model.encode(PROMPTS), model.encode([""])
    return list(sample(model, cond, empty, model.noise(SEEDS), steps=STEPS, guidance_scale=4.0))


def curve(found, measure: str, site: str = "") -> list[float]:
    rows = found.table.filter((pl.col("measure") == measure) & (pl.col("site") == site))
    assert rows["step"].to_list() == list(range(STEPS)) and rows["n"].to_list() == [2] * STEPS
    return rows["value"].to_list()


def test_latent_change(sd1: Model, found) -> None:
    steps = run(sd1)
    expected = [float((step.x_next - step.x).abs().mean()) for step in steps]
    assert curve(found, "latent change") == pytest.approx(expected, rel=1e-4)
    maps = np.stack([(step.x_next - step.x)[0].abs().mean(0).numpy() for step in steps])
    np.testing.assert_allclose(found.changes, maps, rtol=1e-3, atol=1e-5)


def test_updates_of_each_module(sd1: Model, found) -> None:
    sites = sd1.sites.only(kind="cross-attention", level="module")
    with record(sd1, sites) as kept:
        run(sd1)
    for site in sites:
        outputs = kept.outputs[site.name]
        assert curve(found, "update", site.name) == pytest.approx([float(o.abs().mean()) for o in outputs], rel=1e-3)
        np.testing.assert_allclose(found.updates[site.name][1], outputs[1][0].abs().mean(-1), rtol=1e-3, atol=1e-5)
    largest = max(sites, key=lambda site: sum(curve(found, "update", site.name)))
    assert list(found.sites(1)) == [largest]


def test_the_words_share_of_attention(sd1: Model, found) -> None:
    layers = sd1.sites.only(kind="cross-attention", level="layer", name=["*.to_q", "*.to_k"])
    modules = sd1.sites.only(kind="cross-attention", level="module")
    with record(sd1, layers) as kept:
        run(sd1)
    length = sd1.encode([""]).hidden.shape[1]
    at = [list(find_subject(sd1.pipeline.tokenizer, text, length=length).subject) for text in PROMPTS]
    assert [len(tokens) for tokens in at] == [len(text.split()) for text in PROMPTS], "a token a word, no start, no end"
    expected = []
    for index in range(STEPS):
        shares = []
        for site in modules:
            heads = sd1.module(site.name).heads
            q, k = (kept.outputs[f"{site.name}.{name}"][index].float() for name in ("to_q", "to_k"))
            for row, tokens in enumerate(at):
                for qh, kh in zip(q[row].chunk(heads, -1), k[row].chunk(heads, -1), strict=True):
                    p = (qh @ kh.T / qh.shape[-1] ** 0.5).softmax(-1)
                    shares.append(float(p[:, tokens].sum(1).mean()))
        expected.append(np.mean(shares))
    assert curve(found, "word probability") == pytest.approx(expected, rel=1e-3)


def test_it_is_drawn_with_a_strip(sd1: Model, found, tmp_path) -> None:
    assert len(found.strip) == 3
    last = sd1.generate(PROMPTS[0], seeds=SEEDS[0], steps=STEPS)[0]
    assert np.abs(np.asarray(found.strip[-1], int) - np.asarray(last, int)).max() <= 2
    found.plot().savefig(tmp_path / "plot.png")
    assert Image.open(tmp_path / "plot.png").width > 500


def test_batches_change_nothing(sd1: Model, found) -> None:
    told = []
    apart = Dynamics(steps=STEPS, strip=3, batch_size=1)(
        sd1, PROMPTS, SEEDS, progress=lambda done, total: told.append((done, total))
    )
    assert apart.table.drop("value", "low", "high").equals(found.table.drop("value", "low", "high"))
    for column in ("value", "low", "high"):
        np.testing.assert_allclose(apart.table[column], found.table[column], rtol=1e-2, atol=1e-4)
    assert told == [(1, 2), (2, 2)]


def test_an_empty_prompt_has_no_words_to_look_at(sd1: Model, found, tmp_path) -> None:
    alone = Dynamics(steps=STEPS, strip=3)(sd1, "", SEEDS)
    assert set(alone.table["measure"]) == {"latent change", "update"}
    assert alone.summary().endswith("The prompt is empty: there is no word to look at.")
    alone.plot().savefig(tmp_path / "plot.png")
    assert [axis.get_title() for axis in alone.plot().axes][-1] == "no word probability: the prompt is empty"
    beside = Dynamics(steps=STEPS, strip=3)(sd1, ["", *PROMPTS], [7, *SEEDS])
    words = beside.table.filter(pl.col("measure") == "word probability")
    assert words["n"].to_list() == [2] * STEPS
    assert words["value"].to_list() == pytest.approx(curve(found, "word probability"), rel=1e-3)


class Fetches(TorchFunctionMode):
    """Counts what is brought to the CPU, each a wait for a device that is not one."""

    count = 0

    def __torch_function__(self, function, types, args=(), kwargs=None):
        self.count += function is Tensor.cpu
        return function(*args, **(kwargs or {}))


def test_a_run_is_fetched_at_its_end_and_not_at_each_step(sd1: Model) -> None:
    counts = []
    for steps in (2, 4):
        with Fetches() as fetches:
            Dynamics(steps=steps, strip=1)(sd1, PROMPTS, SEEDS)
        counts.append(fetches.count)
    assert 0 < counts[0] == counts[1]


@pytest.mark.parametrize("family", ["sd3", "flux"])
def test_joint_attention_adds_to_the_picture_and_reads_the_words_of_all_encoders(family: str) -> None:
    """Against it written out: the picture's tokens alone, and the words' part of the text's part of the softmax."""
    model = toy(family)
    found = Dynamics(steps=2)(model, PROMPTS, SEEDS)
    assert found.summary().count("Joint attention looks at the prompt's own words") == 1
    modules = model.sites.only(kind="joint-attention", level="module")
    for step, blocks in enumerate(steps_of(model, PROMPTS, SEEDS, 2)):
        shares = []
        for site, joint in zip(modules, blocks, strict=True):
            row = found.table.filter(site=site.name, step=step).row(0, named=True)
            assert (row["measure"], row["kind"]) == ("update", "joint-attention")
            assert row["value"] == pytest.approx(float(joint.given.abs().mean()), rel=1e-3)
            np.testing.assert_allclose(
                found.updates[site.name][step], joint.given[0].abs().mean(-1), rtol=1e-3, atol=1e-5
            )
            of_text = joint.of_text / joint.of_text.sum(-1, keepdim=True)
            shares += [
                float(each[..., own_tokens(model, prompt)].sum(-1).mean())
                for each, prompt in zip(of_text, PROMPTS, strict=True)
            ]
        (words,) = found.table.filter(measure="word probability", step=step)["value"]
        assert words == pytest.approx(np.mean(shares), rel=1e-3)


def test_a_prompt_without_words_has_no_share_whichever_encoder_reads_it() -> None:
    """T5 has no start token, so that a prompt's first word is its first token."""
    for family in ("flux", "pixart", "sd3"):
        found = Dynamics(steps=1)(toy(family), ["church", " "], [0, 1])
        (words,) = found.table.filter(measure="word probability")["n"]
        assert words == 1
