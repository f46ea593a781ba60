"""What a host reads of the repository is well formed, and says the same as the package."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
FORMS = sorted(ROOT.glob(".github/ISSUE_TEMPLATE/*.yml"))


def read(name: str) -> dict:
    return yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))


def test_the_citation_is_of_this_release() -> None:
    citation = read("CITATION.cff")
    code, *_sprites = PROJECT["license"].split(" AND ")
    assert (citation["version"], citation["license"]) == (PROJECT["version"], code)
    assert {"cff-version", "message", "title", "authors"} <= set(citation)


def test_forks_run_what_is_run_here_on_releases_that_are_supported() -> None:
    jobs = read(".github/workflows/test.yml")["jobs"]
    assert {"run": "bash .ci/run", "env": {"PYTHON": "python"}} in jobs["test"]["steps"]
    least = tuple(map(int, PROJECT["requires-python"].removeprefix(">=").split(".")))
    releases = jobs["test"]["strategy"]["matrix"]["python"]
    assert all(tuple(map(int, each.split("."))) >= least for each in releases)
    named = [each.rpartition(" :: ")[2] for each in PROJECT["classifiers"] if "Python :: 3." in each]
    assert named == releases
    assert {"run": "make package PYTHON=python"} in jobs["package"]["steps"]


def test_a_release_is_built_as_here_and_one_job_alone_may_publish_it() -> None:
    file = read(".github/workflows/release.yml")
    jobs, build = file["jobs"], file["jobs"]["build"]["steps"]
    assert "workflow_dispatch" in file[True] and file["permissions"] == {"contents": "read"}  # YAML 1.1: on is true
    assert [each["run"] for each in build if "run" in each] == [
        "make package PYTHON=python",
        'build/package/bin/python tools/check_package.py dist --release "$VERSION"',
    ]
    [address] = [each["env"] for each in build if each.get("run", "").startswith("make package")]
    assert "github.repository" in address["TURPENTINE_REPOSITORY"]
    allowed = {name: job.get("permissions", {}) for name, job in jobs.items()}
    assert allowed == {"build": {}, "publish": {"id-token": "write"}, "tag": {"contents": "write"}}
    publish = jobs["publish"]
    assert publish["environment"] == "pypi" and publish["needs"] == "build" and jobs["tag"]["needs"] == "publish"
    assert publish["steps"][-1]["uses"].startswith("pypa/gh-action-pypi-publish@")
    assert not any("${{" in each.get("run", "") for job in jobs.values() for each in job["steps"])


@pytest.mark.parametrize("path", [path for path in FORMS if path.name != "config.yml"], ids=lambda path: path.name)
def test_a_form_has_what_the_host_asks_for(path: Path) -> None:
    form = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert {"name", "description", "body"} <= set(form)
    ids = [each["id"] for each in form["body"]]
    assert len(ids) == len(set(ids)) and all(each["attributes"]["label"] for each in form["body"])


def test_hooks_before_a_commit_are_those_of_the_makefile() -> None:
    [local] = read(".pre-commit-config.yaml")["repos"]
    commands = {hook["entry"].split()[0].removeprefix(".venv/bin/") for hook in local["hooks"]}
    assert commands == {"ruff", "mypy"}


@pytest.mark.parametrize("name", ["SECURITY.md", "CODE_OF_CONDUCT.md", "CONTRIBUTING.md"])
def test_its_links_lead_somewhere(name: str) -> None:
    for target in re.findall(r"\]\((?!http)([^)#]+)", (ROOT / name).read_text(encoding="utf-8")):
        assert (ROOT / target).exists(), target
