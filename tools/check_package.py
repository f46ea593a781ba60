"""Check what would be published: `make package` runs it on a wheel and a source distribution in a clean environment.

python tools/check_package.py dist            what is in the files
python tools/check_package.py dist --smoke    the same, and what is installed here works: commands, an erasure, pictures
python tools/check_package.py dist --release 0.1.0    what is in the files, and they are that release, its changes dated
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from email.parser import Parser
from importlib.metadata import distribution, requires
from pathlib import Path

LARGEST_FILE, LARGEST_WHEEL, LARGEST_SOURCE = 15_000_000, 95_000_000, 100_000_000
"""Bytes: of a file in the package, of the wheel, and of the source distribution: a registry takes up to 100 MB."""
LICENCES = ("LICENSE", "ATTRIBUTION.md")
READ_BY_TESTS = (
    ".github",
    ".pre-commit-config.yaml",
    "CHANGELOG.md",
    "CITATION.cff",
    "CODE_OF_CONDUCT.md",
    "CONTRIBUTING.md",
    "LICENSE",
    "Makefile",
    "README.md",
    "SECURITY.md",
    "benchmarks",
    "constraints.txt",
    "docs",
    "pyproject.toml",
    "src",
    "tests",
    "tools",
)
"""Of the repository: what a source distribution has, so that its tests pass."""
FACTS, GROUPS = ("License-Expression", "Requires-Python", "Summary"), ("console_scripts", "turpentine.erase")
SMOKE: Sequence[Sequence[str]] = (
    ("doctor",),
    ("methods",),
    ("info",),
    ("bench", "--list"),
    ("erase", "church", "--method", "uce", "--no-measure", "--out", "church"),
    ("generate", "a church", "--edit", "church", "--seeds", "0", "--steps", "2"),
    ("apply", "church", "--to", "lora", "--out", "church.safetensors"),
)
"""Commands that a stranger begins with, made small."""


def faults(sizes: Mapping[str, int], packed: int) -> list[str]:
    """Return what is wrong with the files of a wheel.

    Args:
        sizes: Bytes of each file, by its name in the wheel.
        packed: Bytes of the wheel.
    """
    wrong = [f"{name} has {size:,} bytes" for name, size in sizes.items() if size > LARGEST_FILE]
    wrong += [f"the wheel has {packed:,} bytes"] if packed > LARGEST_WHEEL else []
    wrong += [f"{name} is missing" for name in LICENCES if not any(each.endswith(f"/{name}") for each in sizes)]
    weights = {name.rpartition("/")[0] for name in sizes if name.endswith("model_index.json") or _is_world(name)}
    wrong += [f"{folder} has no card" for folder in sorted(weights) if f"{folder}/README.md" not in sizes]
    wrong += [f"{name} does not belong there" for name in sizes if "__pycache__" in name or name.endswith(".pyc")]
    return wrong


def _is_world(name: str) -> bool:
    return name.endswith("/card.json")


def wheel_faults(path: Path) -> list[str]:
    """Return what is wrong with a wheel: its files, and what it says of itself."""
    with zipfile.ZipFile(path) as archive:
        sizes = {each.filename: each.file_size for each in archive.infolist() if not each.is_dir()}
        info = next(name.rpartition("/")[0] for name in sizes if name.endswith(".dist-info/METADATA"))
        about = Parser().parsestr(archive.read(f"{info}/METADATA").decode("utf-8"))
        description = str(about.get_payload())
        points = archive.read(f"{info}/entry_points.txt").decode("utf-8")
    wrong = faults(sizes, path.stat().st_size)
    wrong += [
        f"METADATA has no {key}" for key in ("License-Expression", "Requires-Python", "Summary") if not about[key]
    ]
    wrong += [f"the description links to {each}" for each in re.findall(r"\]\((?![a-z]+:|#)([^()\s]+)\)", description)]
    return wrong + [
        f"entry points lack {group}" for group in ("console_scripts", "turpentine.erase") if group not in points
    ]


def same_content(wheel: Path, source: Path) -> list[str]:
    """Return what a wheel has that the source distribution has not, and the other way round."""
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if name.startswith("turpentine/")}
    with tarfile.open(source) as archive:
        names = {name.partition("/src/")[2] for name in archive.getnames()}
    inside = {name for name in names if name.startswith("turpentine/") and ("." in Path(name).name or name in packed)}
    return [f"{name} is in one of the two" for name in sorted(packed ^ inside)]


def source_faults(path: Path) -> list[str]:
    """Return what is wrong with a source distribution: its size, and what of the repository its tests miss."""
    with tarfile.open(path) as archive:
        tops = {name.split("/")[1] for name in archive.getnames() if "/" in name}
    size = path.stat().st_size
    wrong = [f"the source distribution has {size:,} bytes"] if size > LARGEST_SOURCE else []
    return wrong + [f"the source distribution has no {name}" for name in READ_BY_TESTS if name not in tops]


def release_faults(release: str, names: Sequence[str], changes: str) -> list[str]:
    """Return what speaks against publishing files as a release.

    Args:
        release: Such as 0.1.0.
        names: Of the files.
        changes: The text of CHANGELOG.md.
    """
    wrong = [
        f"{name} is not {release}" for name in names if not re.match(rf"turpentine-{re.escape(release)}[-.]\D", name)
    ]
    if not re.search(rf"^## {re.escape(release)} \(\d{{4}}-\d\d-\d\d\)$", changes, re.MULTILINE):
        wrong.append(f'CHANGELOG.md has no "## {release} (YEAR-MONTH-DAY)"')
    return wrong


def smoke() -> list[str]:
    """Run the commands, and load every plug-in, from what is installed; return what failed."""
    wrong = []
    for point in distribution("turpentine").entry_points:
        try:
            point.load()
        except Exception as error:  # of whatever kind: it is a fault of the package
            wrong.append(f"{point.group} {point.name}: {error}")
    with tempfile.TemporaryDirectory() as folder:
        for words in SMOKE:
            done = subprocess.run(
                [sys.executable, "-m", "turpentine", *words], cwd=folder, capture_output=True, text=True, check=False
            )
            if done.returncode:
                wrong.append(f"turpentine {' '.join(words)} ended with {done.returncode}: {done.stderr.strip()}")
    return wrong


def main(words: Sequence[str] | None = None) -> int:
    """Check, print what is wrong, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--smoke", action="store_true")
    parser.add_argument("--release")
    given = parser.parse_args(words)
    [wheel], [source] = given.folder.glob("*.whl"), given.folder.glob("*.tar.gz")
    wrong = [*wheel_faults(wheel), *source_faults(source), *same_content(wheel, source)]
    if given.release:
        changes = (Path(__file__).parents[1] / "CHANGELOG.md").read_text(encoding="utf-8")
        wrong += release_faults(given.release, [wheel.name, source.name], changes)
    wrong += smoke() if given.smoke else []
    for each in wrong:
        print(each, file=sys.stderr)
    print(f"{wheel.name}: {wheel.stat().st_size / 1e6:.1f} MB, {len(requires('turpentine') or [])} requirements")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
