"""Masks, overlaps and power spectra against plain transcriptions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from PIL import Image

from turpentine.explain._image_stats import channels_first, foreground, high_share, overlap, power_by_radius


def test_the_foreground_is_what_stands_on_the_background() -> None:
    pixels = np.full((32, 32, 3), (46, 160, 67), np.uint8)
    pixels[8:20, 4:30] = (250, 219, 60)
    mask = foreground(Image.fromarray(pixels))
    expected = np.zeros((32, 32), bool)
    expected[8:20, 4:30] = True
    assert (mask == expected).all()


def test_an_object_that_touches_the_border_is_no_background() -> None:
    pixels = np.full((32, 32, 3), 250, np.uint8)
    pixels[0:12, 0:12] = 18
    assert foreground(Image.fromarray(pixels)).sum() == 144


def test_overlap_is_intersection_over_union() -> None:
    a, b = np.zeros((4, 4), bool), np.zeros((4, 4), bool)
    assert overlap(a, b) == 1.0
    a[:2], b[1:3] = True, True
    assert overlap(a, b) == pytest.approx(1 / 3)
    assert overlap(a, np.zeros((4, 4), bool)) == 0.0


def test_power_is_that_of_each_wave_in_its_ring() -> None:
    n = 16
    found = {}
    for cycles in (1, 3, 7):
        wave = np.cos(2 * np.pi * cycles * np.arange(n) / n)[None, :].repeat(n, 0)[None]
        power = power_by_radius(wave)
        found[cycles] = high_share(wave)
        assert power.argmax() == cycles
        assert power[cycles] == pytest.approx(power.sum())
        total = ((wave - wave.mean()) ** 2).sum() * n * n  # Parseval
        assert power.sum() == pytest.approx(total)
    assert found[1] == pytest.approx(0) and found[3] == pytest.approx(0) and found[7] == pytest.approx(1)


@pytest.mark.parametrize("side", [16, 31, 49])
def test_a_squares_rings_are_whole_cycles_a_side(side: int) -> None:
    x = np.random.default_rng(side).normal(size=(2, side, side))
    power = np.abs(np.fft.fft2(x)) ** 2
    expected = np.zeros(side)
    for row in range(side):
        for column in range(side):
            down, across = (min(at, side - at) for at in (row, column))
            if (row, column) != (0, 0):
                expected[math.isqrt(down**2 + across**2)] += power[:, row, column].sum()
    found = power_by_radius(x)
    np.testing.assert_allclose(found, expected[: len(found)], atol=1e-9)
    assert not expected[len(found) :].any()
    assert high_share(x) == pytest.approx(expected[side // 4 :].sum() / expected.sum())


@pytest.mark.parametrize("wavelength", [3, 4, 6, 12])
def test_stripes_weigh_the_same_in_any_direction_of_a_wide_picture(wavelength: int) -> None:
    wide, rings = np.zeros((2, 1, 24, 72)), []
    wide[0] = np.cos(2 * np.pi * np.arange(24) / wavelength)[:, None]
    wide[1] = np.cos(2 * np.pi * np.arange(72) / wavelength)
    for x in (*wide, wide[0].transpose(0, 2, 1)):
        assert high_share(x) == pytest.approx(1.0 if wavelength <= 4 else 0.0)
        rings.append(int(power_by_radius(x).argmax()))
    assert rings == [24 // wavelength] * 3


def test_a_blur_takes_fine_detail_away() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    image = Image.fromarray(noise)
    blurred = image.resize((8, 8), Image.Resampling.BOX).resize((32, 32), Image.Resampling.BICUBIC)
    assert high_share(channels_first(image)) > 0.5 > 0.05 > high_share(channels_first(blurred))


def test_a_plain_picture_has_no_detail() -> None:
    assert high_share(channels_first(Image.new("RGB", (32, 32), "red"))) == 0.0
