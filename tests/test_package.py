"""What would be published: its files, its licences, its cards and its names; `make package` builds and installs it."""

from __future__ import annotations

import importlib.util
import io
import re
import sys
import tarfile
import tomllib
import zipfile
import zlib
from pathlib import Path
from types import ModuleType

import polars as pl
import pytest

import turpentine
from turpentine.emoji.oracles import SHIPPED

ROOT = Path(__file__).parents[1]
SOURCE = Path(turpentine.__file__).parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
WORLDS = {
    "emoji": "weights",
    "emoji-64": "larger",
    "emoji-mmdit": "mmdit",
    **{path.name: f"retrained/{path.name}" for path in sorted(SHIPPED.iterdir())},
}
"""The models that ship, and the folder of each."""
SPDX = {"Apache 2.0": "Apache-2.0", "MIT": "MIT", "CC BY 4.0": "CC-BY-4.0"}


def _tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("check_package", ROOT / "tools" / "check_package.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


check = _tool()


def wheel_files() -> dict[str, int]:
    """Bytes of each file as the wheel would have it."""
    files = [each for each in SOURCE.rglob("*") if each.is_file() and "__pycache__" not in each.parts]
    sizes = {f"turpentine/{each.relative_to(SOURCE).as_posix()}": each.stat().st_size for each in files}
    licences = PROJECT["project"]["license-files"]
    return sizes | {f"turpentine.dist-info/licenses/{name}": (ROOT / name).stat().st_size for name in licences}


def test_no_file_is_too_large_and_all_together_make_a_wheel_that_a_registry_takes() -> None:
    sizes = wheel_files()
    names = [*(SOURCE.parent / name for name in sizes if name.startswith("turpentine/")), ROOT / "LICENSE"]
    assert check.faults(sizes, sum(map(deflated, names))) == []


def deflated(path: Path) -> int:
    """Return about the bytes that a file has in the wheel, where it is deflated, and never many fewer.

    Of weights by the codes alone (Huffman's), without zlib's search for repeats: nothing repeats in them, and it
    takes a twentieth of the time.
    """
    strategy = zlib.Z_HUFFMAN_ONLY if path.suffix == ".safetensors" else zlib.Z_DEFAULT_STRATEGY
    packer = zlib.compressobj(zlib.Z_DEFAULT_COMPRESSION, zlib.DEFLATED, -15, 8, strategy)
    return len(packer.compress(path.read_bytes())) + len(packer.flush())


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"turpentine/big.safetensors": 15_000_001}, "big.safetensors has 15,000,001 bytes"),
        ({"turpentine/emoji/new/card.json": 1}, "turpentine/emoji/new has no card"),
        ({"turpentine/__pycache__/a.pyc": 1}, "does not belong there"),
    ],
)
def test_what_does_not_belong_into_a_wheel_is_named(change: dict[str, int], fault: str) -> None:
    [wrong] = check.faults({**wheel_files(), **change}, 1)
    assert fault in wrong


def test_a_wheel_without_licences_and_names_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "turpentine-0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("turpentine-0.dist-info/METADATA", "Name: turpentine\nSummary: x\n\n")
        archive.writestr("turpentine-0.dist-info/entry_points.txt", "[console_scripts]\n")
    assert check.wheel_faults(path) == [
        "LICENSE is missing",
        "ATTRIBUTION.md is missing",
        "METADATA has no License-Expression",
        "METADATA has no Requires-Python",
        "entry points lack turpentine.erase",
    ]


@pytest.mark.parametrize(
    ("link", "wrong"), [("docs/a.md#b", ["the description links to docs/a.md#b"]), ("https://a.b/c", [])]
)
def test_a_description_with_links_that_lead_nowhere_is_refused(link: str, wrong: list[str], tmp_path: Path) -> None:
    path = tmp_path / "turpentine-0-py3-none-any.whl"
    about = "License-Expression: MIT\nRequires-Python: >=3\nSummary: x\n"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("turpentine-0.dist-info/METADATA", f"{about}\nRead [é]({link}), or [here](#here).\n")
        archive.writestr("turpentine-0.dist-info/entry_points.txt", "[console_scripts]\n[turpentine.erase]\n")
        for name in check.LICENCES:
            archive.writestr(f"turpentine-0.dist-info/licenses/{name}", "")
    assert check.wheel_faults(path) == wrong


def test_a_source_distribution_has_all_that_its_tests_read(tmp_path: Path) -> None:
    code = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("*.py"))
    read = set(re.findall(r'\b(?:ROOT|REPOSITORY) / "([^"/]+)', code)) | {"docs", ".github"}
    assert read <= set(check.READ_BY_TESTS) and all((ROOT / name).exists() for name in check.READ_BY_TESTS)
    targets = PROJECT["tool"]["hatch"]["build"]["targets"]
    assert not {each.strip("/").split("/")[0] for each in targets["sdist"]["exclude"]} & set(check.READ_BY_TESTS)
    path = tmp_path / "turpentine-0.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for name in check.READ_BY_TESTS:
            if name != "docs":
                archive.addfile(tarfile.TarInfo(f"turpentine-0/{name}/a"), io.BytesIO())
    assert check.source_faults(path) == ["the source distribution has no docs"]


@pytest.mark.parametrize(
    ("names", "changes", "wrong"),
    [
        (["turpentine-0.1.0-py3-none-any.whl", "turpentine-0.1.0.tar.gz"], "# C\n\n## 0.1.0 (2026-12-01)\n\nx", []),
        (["turpentine-0.1.0.1.tar.gz"], "## 0.1.0 (2026-12-01)", ["turpentine-0.1.0.1.tar.gz is not 0.1.0"]),
        (["turpentine-0.1.0.tar.gz"], "## 0.1.0 (not released)", ['CHANGELOG.md has no "## 0.1.0 (YEAR-MONTH-DAY)"']),
    ],
)
def test_a_release_has_its_number_and_the_date_of_its_changes(names: list[str], changes: str, wrong: list[str]) -> None:
    assert check.release_faults("0.1.0", names, changes) == wrong


def test_every_licence_of_a_sprite_is_named_with_its_set_and_in_the_packages_own() -> None:
    attribution = (SOURCE / "emoji" / "data" / "ATTRIBUTION.md").read_text(encoding="utf-8")
    named = set(PROJECT["project"]["license"].split(" AND "))
    for file in ("sprites.parquet", "unseen.parquet"):
        rows = pl.read_parquet(SOURCE / "emoji" / "data" / file, columns=["package", "version", "licence"]).unique()
        for package, version, licence in rows.rows():
            [line] = [each for each in attribution.splitlines() if f"`{package}` {version}" in each]
            [words] = [each for each in SPDX if f"[{each}]" in line]
            assert SPDX[words] == licence and licence in named
    assert named == set(SPDX.values())


@pytest.mark.parametrize("world", WORLDS)
def test_each_world_that_ships_has_a_card_with_what_it_draws_and_its_licence(world: str) -> None:
    card = (SOURCE / "emoji" / WORLDS[world] / "README.md").read_text(encoding="utf-8")
    assert re.search(rf"`{world}`|turpentine\.load\(\)", card)
    assert {"What it draws", "Licence"} <= set(re.findall(r"^## (.+)$", card, re.MULTILINE))
    assert "Apache-2.0" in card.partition("## Licence")[2]
    for picture in re.findall(r"!\[[^]]+\]\(([^)]+)\)", card):
        assert (SOURCE / "emoji" / WORLDS[world] / picture).is_file()


@pytest.mark.parametrize("world", WORLDS)
def test_each_card_is_a_page_of_the_site(world: str) -> None:
    name = f"../src/turpentine/emoji/{WORLDS[world]}/README.md"
    pages = [path.name for path in (ROOT / "docs").glob("*.md") if f"{{include}} {name}\n" in path.read_text("utf-8")]
    site = (ROOT / "docs" / "conf.py").read_text(encoding="utf-8")
    assert len(pages) == 1 and f'"{name}": "{pages[0]}"' in site


def test_no_weights_ship_beside_those_of_a_world_with_a_card() -> None:
    places = [each.relative_to(SOURCE / "emoji").parts for each in SOURCE.rglob("*.safetensors")]
    folders = {"/".join(parts[: 2 if parts[0] == SHIPPED.name else 1]) for parts in places}
    assert folders == set(WORLDS.values())
