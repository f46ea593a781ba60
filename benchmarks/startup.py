"""CPU seconds until the command answers, each in a process of its own: the least of some runs, and what was imported.

    python benchmarks/startup.py
    python benchmarks/startup.py --runs 9

Clocks are of no use beside other work; the seconds are those that the process itself computed, of all its threads.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys

HELP = (
    "from turpentine.cli.app import run; import contextlib, io\nwith contextlib.redirect_stdout(io.StringIO()): run({})"
)
WAYS = {
    "import turpentine": "import turpentine",
    "turpentine --help": HELP.format(["--help"]),
    "turpentine erase --help": HELP.format(["erase", "--help"]),
    "turpentine erase --method cad --help": HELP.format(["erase", "--method", "cad", "--help"]),
    "tp.methods.ESD": "import turpentine as tp; tp.methods.ESD",
    "turpentine methods": HELP.format(["methods"]),
    "turpentine explain --help": HELP.format(["explain", "--help"]),
    "turpentine explain trace --help": HELP.format(["explain", "trace", "--help"]),
}
HEAVY = ("torch", "diffusers", "transformers", "matplotlib", "polars", "turpentine.explain")
REPORT = f"""
import json, resource, sys
used = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps([used.ru_utime + used.ru_stime, [name for name in {HEAVY} if name in sys.modules]]))
"""


def cost(code: str) -> tuple[float, list[str]]:
    """CPU seconds of a process that runs the code, and which of HEAVY it has imported."""
    done = subprocess.run([sys.executable, "-c", code + REPORT], capture_output=True, text=True, check=True)
    seconds, imported = json.loads(done.stdout.splitlines()[-1])
    return seconds, imported


def main() -> None:
    """Print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    runs = parser.parse_args().runs
    print("| | CPU seconds | imports |\n|---|---|---|")
    for name, code in WAYS.items():
        seconds, imported = min(cost(code) for _ in range(runs))
        print(f"| `{name}` | {seconds:.2f} | {', '.join(imported) or '–'} |", flush=True)


if __name__ == "__main__":
    main()
