"""`turpentine doctor`: what this machine has for Turpentine, what is missing, and how to get it."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Literal

from turpentine.cli.options import Json
from turpentine.cli.progress_bars import busy
from turpentine.cli.terminal import say, say_json, say_prose, show_table
from turpentine.core.errors import TurpentineError
from turpentine.core.formatting import counted, file_size
from turpentine.core.library_errors import first_line

# Bytes below which the disk or the memory is said to be short: one Stable Diffusion in fp16, and room beside it.
_SHORT = 6e9

# Extras that people use; the others are for those who change the package.
_EXTRAS = ("nudenet", "ray", "sign", "studio", "study")

State = Literal["ok", "missing", "short", "broken"]


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes:
        name: What.
        state: "ok"; "missing", for what only some commands need; "short", for what may not be enough; or "broken".
        has: What is there.
        remedy: What to do about it; "" for nothing.
    """

    name: str
    state: State
    has: str
    remedy: str = ""


def doctor(*, json: Json = False) -> int:
    """Look at versions, devices, memory, disk, caches and extras, and say what is missing and how to get it.

    Nothing is fetched and nothing is written. The exit code is 0 where all that is needed is there, 1 otherwise.

    Args:
        json: Print one JSON document, also of an error.

    Example:
        turpentine doctor
    """
    with busy("Looking around"):
        checks = [*_packages(), *_extras(), *_devices(), _memory(), *_disks(), _embedded_model(), _hub()]
    broken = [each for each in checks if each.state == "broken"]
    if json:
        say_json({"ok": not broken, "checks": [asdict(each) for each in checks]})
    else:
        show_table(("", "", ""), [(each.name, each.state, each.has) for each in checks])
        for each in checks:
            if each.remedy:
                say_prose(f"\n{each.name}: {each.remedy}")
        say("\nAll that is needed is there." if not broken else f"\n{counted(len(broken), 'thing')} to put right.")
    return 1 if broken else 0


def _packages() -> Iterator[Check]:
    """Yield Python, and each package that Turpentine needs."""
    supported = sys.version_info >= (3, 11)
    system = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    yield Check("python", "ok" if supported else "broken", system, "" if supported else "Install Python 3.11 or later.")
    for name, releases, extra in _requirements():
        if extra is None:
            yield _package(name, releases, f"pip install '{name}{releases}'")


def _extras() -> Iterator[Check]:
    """Yield each extra, as one."""
    requirements = list(_requirements())
    for extra in _EXTRAS:
        parts = [_package(name, releases, "") for name, releases, of in requirements if of == extra]
        absent = [part.name for part in parts if part.state != "ok"]
        present = ", ".join(f"{part.name} {part.has}" for part in parts if part.state == "ok")
        has = f"without {', '.join(absent)}" if absent else present
        remedy = f"pip install 'turpentine[{extra}]', where you need it." if absent else ""
        if parts:
            yield Check(f"extra {extra}", "missing" if absent else "ok", has, remedy)


def _requirements() -> Iterator[tuple[str, str, str | None]]:
    """Yield name, releases and extra of each package in our own metadata."""
    from packaging.requirements import Requirement

    for text in requires("turpentine") or ():
        each = Requirement(text)
        extras = [
            extra for extra in (None, *_EXTRAS) if each.marker is None or each.marker.evaluate({"extra": extra or ""})
        ]
        if extras:
            yield each.name, str(each.specifier), extras[0]


def _package(name: str, releases: str, remedy: str) -> Check:
    from packaging.specifiers import SpecifierSet

    try:
        present = version(name)
    except PackageNotFoundError:
        return Check(name, "broken", f"missing, {releases or 'any release'} is needed", remedy)
    if not SpecifierSet(releases).contains(present, prereleases=True):
        return Check(name, "broken", f"{present}, {releases} is needed", remedy)
    return Check(name, "ok", present)


def _devices() -> Iterator[Check]:
    """Yield the processor and each GPU, with its free memory."""
    import torch

    yield Check("cpu", "ok", f"{counted(os.cpu_count() or 1, 'core')}, {counted(torch.get_num_threads(), 'thread')}")
    for index in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(index)
        name = torch.cuda.get_device_name(index)
        yield Check(f"cuda:{index}", _state(free), f"{name}, {file_size(free)} of {file_size(total)} free")
    if not torch.cuda.device_count():
        remedy = "Models of full size take minutes a picture without one; the embedded model needs none."
        yield Check("cuda", "missing", f"torch {torch.__version__} sees no GPU", remedy)


def _memory() -> Check:
    """Return the memory that programs could still take."""
    import psutil

    memory = psutil.virtual_memory()
    short = "A model of full size may not fit: close other programs, or take --dtype fp16."
    remedy = "" if memory.available > _SHORT else short
    return Check(
        "memory", _state(memory.available), f"{file_size(memory.available)} of {file_size(memory.total)} free", remedy
    )


def _disks() -> Iterator[Check]:
    """Yield the disks of this folder and of the cache of the hub: what is free, and whether it may be written to."""
    from huggingface_hub.constants import HF_HUB_CACHE

    for name, folder in (("this folder", Path.cwd()), ("cache of the hub", Path(HF_HUB_CACHE))):
        place = next(each for each in (folder, *folder.parents) if each.is_dir())
        free = shutil.disk_usage(place).free
        if not os.access(place, os.W_OK):
            yield Check(name, "broken", f"{folder} may not be written to", f"Give yourself the right to write {place}.")
        else:
            remedy = "" if free > _SHORT else "A model of full size takes some 4 GB: make room."
            yield Check(name, _state(free), f"{folder}, {file_size(free)} free", remedy)


def _embedded_model() -> Check:
    """Return whether the model that ships can be read."""
    from turpentine.models import load

    try:
        model = load("emoji", device="cpu")
    except (TurpentineError, OSError, ValueError) as error:
        remedy = "Install Turpentine anew; of a clone, fetch its large files too."
        return Check("embedded model", "broken", first_line(error), remedy)
    return Check("embedded model", "ok", f"fingerprint {model.fingerprint[:12]}")


def _hub() -> Check:
    """Return whether the hub is asked for what is not in the cache."""
    from huggingface_hub.constants import HF_HUB_OFFLINE

    has = "not asked: HF_HUB_OFFLINE is set" if HF_HUB_OFFLINE else "asked for models by their id"
    return Check("hub", "ok", has)


def _state(free: float) -> State:
    return "ok" if free > _SHORT else "short"
