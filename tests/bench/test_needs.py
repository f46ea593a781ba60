"""What a bench is said to need is what its models, its judges and its files of prompts ask for."""

from __future__ import annotations

from importlib.metadata import metadata
from pathlib import Path

import pytest

from turpentine.bench.entries import one_key
from turpentine.bench.file import every_protocol
from turpentine.bench.needs import EXTRAS, BenchNeeds, needs_of
from turpentine.bench.yaml_lines import read_yaml
from turpentine.core.errors import BadArgument
from turpentine.core.plugins import plugins
from turpentine.judges import judge
from turpentine.models.loading.source import place_of
from turpentine.tasks.case_rules import find_file


@pytest.mark.parametrize("name", sorted(every_protocol()))
def test_each_bench_that_ships_needs_what_is_not_here(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    value = read_yaml(every_protocol()[name], name).value
    needs = needs_of(value)
    assert needs.models == tuple(model for model in value["models"] if not place_of(model).exists())
    sections = [value, *(value[key] for key in ("measured", "attacked") if key in value)]
    entries = [entry for part in sections for entry in (*part.get("judges", ()), *filter(None, [part.get("judge")]))]
    judges = [one_key(entry, "judge") for entry in entries]
    assert needs.extras == (("turpentine[nudenet]",) if "nudenet" in dict(judges) else ())
    downloads = [judge(name, **settings).download for name, settings in judges if name not in EXTRAS]
    assert needs.networks == tuple(dict.fromkeys(text.split(" from ")[0] for text in downloads if text))
    files = [rule["file"] for part in sections for rule in part.get("cases", ()) if "file" in rule]
    assert needs.files == tuple(files)
    for file in files:
        with pytest.raises(BadArgument, match="no file of prompts"):
            find_file(file, None)


def test_what_comes_with_the_package_is_no_need() -> None:
    here = {
        "models": ["emoji", "emoji-64", {"emoji-mmdit": {}}, "emoji-without-church"],
        "judges": ["emoji", {"clip": {"model": "emoji"}}, {"distance": {"network": "emoji"}}],
        "cases": [{"file": "harmless.csv"}, {"world": ["scene"]}],
    }
    assert needs_of(here) == BenchNeeds()
    assert needs_of(here).sentence == "nothing"


def test_each_need_is_named_once() -> None:
    mine = {
        "models": [{"a/model": {"prediction": "v_prediction"}}, "a/model"],
        "judges": ["a/network", {"classifier": {"model": "a/network"}}, "nudenet"],
        "cases": [{"file": "some/harmless.csv"}],
        "references": "photographs",
    }
    assert needs_of(mine).sentence.split(", ") == [
        "model a/model",
        "judge a/network",
        "extra turpentine[nudenet]",
        "your file some/harmless.csv",
        "your folder photographs",
    ]


def test_extras_are_those_of_the_package() -> None:
    assert set(EXTRAS) <= set(plugins("judge"))
    extras = metadata("turpentine").get_all("Provides-Extra") or []
    assert {f"turpentine[{extra}]" for extra in extras}.issuperset(EXTRAS.values())
