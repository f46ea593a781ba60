"""Score distillation of a mask: its gradient against the equation, and that it finds what is there."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from turpentine.core.errors import BadArgument
from turpentine.emoji.world import Picture, Placed, render
from turpentine.explain.segment import MaskNet, Segment
from turpentine.models import Conditioning, Model, count_rows


def church() -> tuple[Image.Image, np.ndarray]:
    """As large as the model draws it, and where it is."""
    picture, empty = (render(Picture("blue", placed)) for placed in ((Placed("church", "noto", 2, 2, 28),), ()))
    return Image.fromarray(picture), np.abs(picture.astype(int) - empty).max(-1) > 30


def test_the_gradient_is_score_distillations(sd1: Model) -> None:
    asked = Segment(batch_size=2, guidance_scale=5.0, window=(0.3, 0.7))
    latents = sd1.noise([0, 1])
    cond, empty = sd1.encode(["a dog"]), sd1.encode([""])
    told = Conditioning.cat([empty.repeat(2), cond.repeat(2)])
    found = asked._distilled(sd1, latents, told, torch.Generator().manual_seed(7))
    random = torch.Generator().manual_seed(7)
    train_steps = len(sd1.pipeline.scheduler.alphas_cumprod)
    low, high = int(0.3 * (train_steps - 1)), int(0.7 * (train_steps - 1))
    times = torch.randint(low, high + 1, (2,), generator=random).tolist()
    noise = torch.randn(latents.shape, generator=random)
    for row, t in enumerate(times):
        a = sd1.pipeline.scheduler.alphas_cumprod[t]
        x = (a.sqrt() * latents[row] + (1 - a).sqrt() * noise[row])[None]
        uncond, conditional = sd1.eps(x, t, empty), sd1.eps(x, t, cond)
        expected = (1 - a) * (uncond + 5.0 * (conditional - uncond) - noise[row])
        torch.testing.assert_close(found[row], expected[0], rtol=1e-3, atol=1e-4)


def test_a_mask_is_a_smooth_share_of_each_place() -> None:
    net = MaskNet(16, torch.Generator().manual_seed(0))
    alpha = net(24, 40)
    assert alpha.shape == (24, 40) and alpha.min() > 0 and alpha.max() < 1
    assert torch.equal(alpha, MaskNet(16, torch.Generator().manual_seed(0))(24, 40))


def test_words_find_their_object(emoji: Model, tmp_path) -> None:
    image, truth = church()
    found = Segment(updates=40)(emoji, [image], concept=["a church"], truths=[truth])
    assert found.table["iou"][0] > 0.6 > 0.4 > truth.mean(), "no mask of the whole picture would do"
    assert found.alphas[0][truth].mean() > 3 * found.alphas[0][~truth].mean()
    found.plot().savefig(tmp_path / "segment.png")
    assert Image.open(tmp_path / "segment.png").width > 300


def test_what_it_costs_and_that_nothing_is_changed(sd1: Model) -> None:
    image, told = Image.new("RGB", sd1.size[::-1]), []
    before = {name: weight.clone() for name, weight in sd1.denoiser.named_parameters()}
    with count_rows(sd1) as count:
        once = Segment(updates=3, batch_size=2)(
            sd1, [image], concept=["a dog"], progress=lambda *done: told.append(done)
        )
    again = Segment(updates=3, batch_size=2)(sd1, [image], concept=["a dog"])
    assert (count.rows, count.grad_rows) == (3 * 2 * 2, 0)
    assert told == [(1, 3), (2, 3), (3, 3)]
    assert np.array_equal(once.alphas[0], again.alphas[0])
    assert once.table["iou"].to_list() == [None]
    assert all(torch.equal(before[name], weight) for name, weight in sd1.denoiser.named_parameters())


def test_what_cannot_be_segmented_is_told(sd1: Model) -> None:
    image = Image.new("RGB", sd1.size[::-1])
    with pytest.raises(BadArgument, match="do not pair up"):
        Segment()(sd1, [image], concept=["a dog", "a cat"])
    with pytest.raises(BadArgument, match="5 x 7"):
        Segment()(sd1, [Image.new("RGB", (5, 7))], concept=["a dog"])
    with pytest.raises(BadArgument, match=r"window 0\.5 to 0\.2"):
        Segment(window=(0.5, 0.2))(sd1, [image], concept=["a dog"])
    with pytest.raises(BadArgument, match="Segment's updates is 0: give 1 or more"):
        Segment(updates=0)
