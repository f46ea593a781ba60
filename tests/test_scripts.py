"""Benchmarks and tools can be imported: a name that moved in the package is noticed there too."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
SCRIPTS = sorted([*ROOT.glob("benchmarks/*.py"), *ROOT.glob("tools/*.py")])
OPTIONAL = ("resvg_py",)
"""What only the maker of the sprites needs."""

IMPORT_ALL = """
import importlib.util, sys, traceback
wrong = 0
for path in sys.argv[1:]:
    spec = importlib.util.spec_from_file_location(path.rpartition("/")[2].removesuffix(".py"), path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    sys.path.insert(0, path.rpartition("/")[0])
    try:
        spec.loader.exec_module(module)
    except ModuleNotFoundError as error:
        if error.name not in {optional}:
            wrong += 1
            traceback.print_exc()
    except Exception:
        wrong += 1
        traceback.print_exc()
sys.exit(wrong)
"""


def test_every_script_can_be_imported() -> None:
    assert len(SCRIPTS) > 10
    code = IMPORT_ALL.replace("{optional}", repr(OPTIONAL))
    done = subprocess.run([sys.executable, "-c", code, *map(str, SCRIPTS)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
