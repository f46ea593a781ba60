"""A signal in the middle of an import is handled when the module is whole, and only then."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from turpentine.core.whole_imports import imported_whole

# The signal comes where torch, half imported, asks for a module of its own; what else it asks for is counted.
RUN = """
import os, signal, sys
from importlib.abc import MetaPathFinder

class Watch(MetaPathFinder):
    after = []
    def find_spec(self, name, path=None, target=None):
        if name == "torch.distributed":
            os.kill(os.getpid(), signal.SIGTERM)
        if name == "torch.distributed" or self.after:
            self.after.append(name)

sys.meta_path.insert(0, Watch())
from turpentine.cli.app import run
code = run(["generate", "a church", "--out", sys.argv[1]])
print(code, len([name for name in Watch.after if name.startswith("torch.")]))
"""


def test_a_signal_waits_until_the_module_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("whole_here", "cut_here"):
        (tmp_path / f"{name}.py").write_text(
            "import signal, sys\nsignal.raise_signal(signal.SIGINT)\nsys.end = __name__"
        )
    monkeypatch.syspath_prepend(tmp_path)
    before = list(sys.meta_path)
    with imported_whole("whole_here"):
        with pytest.raises(KeyboardInterrupt):
            importlib.import_module("whole_here")
        assert getattr(sys, "end", "") == "whole_here"
        with pytest.raises(KeyboardInterrupt):
            importlib.import_module("cut_here")
    assert getattr(sys, "end", "") == "whole_here" and sys.meta_path == before
    del sys.end  # type: ignore[attr-defined]


def test_a_command_that_is_ended_while_torch_is_imported_ends_as_at_any_other_time(tmp_path: Path) -> None:
    line = [sys.executable, "-c", RUN, str(tmp_path / "out")]
    done = subprocess.run(line, capture_output=True, text=True)
    code, after = done.stdout.split()
    assert (code, done.returncode) == ("143", 0), done.stderr
    assert int(after) > 20 and done.stderr.startswith("Interrupted. The same command goes on from here")
    assert not (tmp_path / "out").exists()
