"""What is not in the emoji world: sprites, pictures, and that no picture of the world is one of them."""

from __future__ import annotations

from importlib import resources

import pyarrow.parquet as pq
import pytest

from turpentine.core.errors import UnknownName
from turpentine.emoji.unseen import unseen_pictures
from turpentine.emoji.world import OBJECTS, STYLES, UNSEEN, sprites, unseen_sprites


def test_there_is_a_sprite_of_each_in_every_style_and_none_is_in_the_world() -> None:
    assert set(unseen_sprites()) == {(name, style) for name in UNSEEN for style in STYLES}
    assert not set(UNSEEN) & set(OBJECTS) and not set(unseen_sprites()) & set(sprites())


def test_every_sprite_says_where_it_is_from_under_a_permissive_licence() -> None:
    data = resources.files("turpentine.emoji").joinpath("data")
    attribution = data.joinpath("ATTRIBUTION.md").read_text()
    with data.joinpath("unseen.parquet").open("rb") as file:
        rows = pq.read_table(file).to_pylist()
    assert len(rows) == 32 and {row["licence"] for row in rows} <= {"Apache-2.0", "MIT", "CC-BY-4.0"}
    assert all(f"`{row['package']}` {row['version']}" in attribution for row in rows)


def test_pictures_hang_on_name_and_seed() -> None:
    first, again, other = (unseen_pictures("snowman", 3, seed) for seed in (1, 1, 2))
    assert [each.tobytes() for each in first] == [each.tobytes() for each in again]
    assert first[0].tobytes() != other[0].tobytes() and first[0].tobytes() != first[1].tobytes()


def test_what_has_no_sprites_is_refused() -> None:
    with pytest.raises(UnknownName, match="no sprites of 'church'"):
        unseen_pictures("church", 1)
