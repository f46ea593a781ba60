"""Kill an audit at random points, let it go on, and compare every byte with one that was not killed.

    python benchmarks/audit_kills.py --kills 20

An audit of the embedded model with a quick plan runs as a process; it is killed (SIGKILL) after a random share of the
time that the whole one took, started again, and so on, until it has been killed often enough; then it runs to its end.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import turpentine as tp
from turpentine.edits import Edit


def command(edit: Path, out: Path) -> list[str]:
    """Return the line of the audit."""
    few = ["--pictures", "20", "--steps", "4", "--attack", "seed-search", "--attack", "completion", "--json"]
    return [sys.executable, "-m", "turpentine", "audit", str(edit), *few, "--out", str(out)]


def files(folder: Path) -> dict[str, bytes]:
    """Return what an audit wrote, by name, without the parts."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}


def run(edit: Path, out: Path, seconds: float | None = None) -> bool:
    """Run the audit, kill it after some seconds, and return whether it came to its end."""
    process = subprocess.Popen(command(edit, out), stdout=subprocess.DEVNULL, env={**os.environ, "COLUMNS": "100"})
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return False
    return process.returncode in (0, 3)


def main() -> None:
    """Kill, go on, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    rng = random.Random(args.seed)
    with tempfile.TemporaryDirectory() as folder:
        edit = Path(folder) / Edit.file_name
        model = tp.load()
        tp.erase.UCE.preset(model)(model, tp.Concept("church")).save(edit)
        start = time.monotonic()
        assert run(edit, Path(folder) / "audit")
        whole, took = files(Path(folder) / "audit"), time.monotonic() - start
        shutil.move(Path(folder) / "audit", Path(folder) / "whole")
        kills = 0
        while kills < args.kills:
            if run(edit, Path(folder) / "audit", rng.uniform(0.05, 0.35) * took):
                assert files(Path(folder) / "audit") == whole, "an audit that was killed differs"
                shutil.rmtree(Path(folder) / "audit")  # all over again, for the next kill
                continue
            kills += 1
            print(f"{kills} kills", flush=True)
        assert run(edit, Path(folder) / "audit")
        own = files(Path(folder) / "audit")
    differing = [name for name in whole if own.get(name) != whole[name]]
    print(f"{kills} kills; {len(whole)} files; differing: {', '.join(differing) or 'none'}")
    sys.exit(bool(differing))


if __name__ == "__main__":
    main()
