from __future__ import annotations

import json
import os
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from bench.benches import SOURCE, print_benches
from PIL import Image
from processes import Started

from turpentine.bench import file as bench_file
from turpentine.concepts import Concept
from turpentine.core.errors import BadArgument, TurpentineError, UnknownName
from turpentine.erase.esd import ESD
from turpentine.models import load
from turpentine.runs.plan import Plan
from turpentine.runs.protocol import Protocol
from turpentine.runs.references import ReferenceSet
from turpentine.testing.toys import toy

TEXT = """\
title: Toys
models: [emoji]
concepts:
  - church
  - [dog, by lumen]
  - {text: a red fish, kind: style, keep: [horn]}
methods:
  - esd-x
  - esd-u: {lr: 1e-3, window: [0, 0.5]}
judges: [emoji]
measures: [rate of hit]
seeds: 0-2,7
drawing: {steps: 4, batch_size: 2}
cases:
  - prompts: ["a {}"]
    of: [church, dog, owl]
    column: object
"""
CSV = """\
case_number,prompt,evaluation_seed,evaluation_guidance,class
0,"a church, painted",5,7.5,church
1,=cmd|'/c calc'!A1,6,3,dog
2,<b>a church</b>,7,7.5,church
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "toys.yaml"
    path.write_text(TEXT, encoding="utf-8")
    return path


def protocol_of(bench: bench_file.Bench) -> Protocol:
    return bench.protocol_on(load("emoji"))


def plan_of(bench: bench_file.Bench) -> Plan:
    protocol = protocol_of(bench)
    return bench.plan(lambda model: replace(SOURCE, load=model.source, options=model.options), lambda source: protocol)


def test_a_file_becomes_lines_the_unedited_model_first(file: Path) -> None:
    conditions = plan_of(bench_file.load(str(file))).conditions
    concepts = ["church", "dog, lumen", "a red fish"]
    methods = ["", "esd-x", "esd-u lr=0.001 window=(0.0, 0.5)"]
    assert [(condition.method, condition.concept) for condition in conditions] == [
        (m, c) for m in methods for c in concepts
    ]
    assert {condition.protocol for condition in conditions} == {protocol_of(bench_file.load(str(file)))}
    assert (conditions[0].protocol.seeds, conditions[0].protocol.steps, conditions[0].protocol.batch_size) == (
        (0, 1, 2, 7),
        4,
        2,
    )
    assert [spec.name for spec in conditions[0].judges] == ["emoji", "picture statistics"]


def test_what_the_file_does_not_say_of_drawing_is_the_familys_but_for_the_worlds(file: Path) -> None:
    bench, model = bench_file.load(str(file)), load("emoji")
    assert (bench.protocol_on(model).steps, bench.protocol_on(model).guidance_scale) == (4, 4.0)
    assert bench_file.load(str(file), ["drawing={}"]).protocol_on(model) == Protocol(seeds=(0, 1, 2, 7))
    large = toy("sana")
    large.family.latent = replace(large.family.latent, height=512, width=512)
    assert (bench.protocol_on(large).steps, bench.protocol_on(large).guidance_scale) == (4, 4.5)
    told = bench_file.load(str(file), ["drawing.guidance_scale=0"]).protocol_on(large)
    assert (told.steps, told.guidance_scale) == (4, 0.0)


def test_a_model_has_what_it_is_loaded_with(file: Path) -> None:
    models = "models=[emoji, 'a/b', {x.safetensors: {config: sd2, prediction: v_prediction, zero_snr: true}}]"
    entries = bench_file.load(str(file), [models]).spec.models
    loaded = {entry.source: entry.options for entry in entries}
    of_file = {"config": "sd2", "prediction": "v_prediction", "zero_snr": True}
    assert loaded == {"emoji": {}, "a/b": {}, "x.safetensors": of_file}


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ("{predict: epsilon}", "A model has no 'predict': did you mean 'prediction'"),
        ("{prediction: v}", "The model's prediction is 'v': input should be 'epsilon' or 'v_prediction'"),
        ("{zero_snr: 3}", "The model's zero_snr is 3"),
        ("[sd2]", "A model is written as its name, or as its name with settings, such as name: {config: FOLDER"),
    ],
)
def test_what_no_model_is_loaded_with_is_refused(file: Path, options: str, sentence: str) -> None:
    with pytest.raises(BadArgument, match=re.escape(sentence)):
        bench_file.load(str(file), [f"models=[{{x.safetensors: {options}}}]"])


def test_concepts_are_of_the_kind_that_the_world_knows_or_that_is_said(file: Path) -> None:
    first, second, third = bench_file.load(str(file)).concepts
    assert [one.kind for one in (*first, *second)] == ["object", "object", "artist"]
    assert third == (Concept("a red fish", "style", keep=("horn",)),)


def test_methods_have_the_settings_of_the_file_over_those_for_the_model(file: Path) -> None:
    plain, changed = [edit_spec.method for edit_spec in plan_of(bench_file.load(str(file))).edit_specs][::3]
    preset = ESD.preset("emoji")
    assert preset.steps != ESD().steps
    assert (plain.sites, plain.steps) == ("x", preset.steps)
    assert (changed.sites, changed.steps, changed.lr, changed.window) == ("u", preset.steps, 1e-3, (0.0, 0.5))


def test_templates_ask_for_the_concept_and_for_the_others(file: Path) -> None:
    conditions = plan_of(bench_file.load(str(file))).conditions
    cases_by_concepts = [(case.group, case.prompt, case.attribute, case.expected) for case in conditions[1].cases]
    assert cases_by_concepts == [
        ("other", "a church", "object", "church"),
        ("erased", "a dog", "object", "dog"),
        ("other", "an owl", "object", "owl"),
    ]


def test_the_pictures_of_the_unedited_model_are_shared(file: Path) -> None:
    counts = plan_of(bench_file.load(str(file))).counts
    assert (counts.pictures, counts.distinct, counts.edits) == (9 * 12, 7 * 12, 6)


@pytest.mark.parametrize("key", ["seeds=3", "drawing.steps=9", "methods=[esd-selfattn]", "concepts.0=fish"])
def test_any_value_can_be_replaced(file: Path, key: str) -> None:
    changed, before = (bench_file.load(str(file), keys).spec for keys in ([key], []))
    name = key.split("=")[0].split(".")[0]
    differing = {each for each in type(before).model_fields if getattr(changed, each) != getattr(before, each)}
    assert differing - {"judges"} == {name}


def with_file(file: Path, **keys: str) -> Path:
    (file.parent / "prompts.csv").write_text(CSV, encoding="utf-8")
    rule = {"file": "prompts.csv", **keys}
    rows = "\n    ".join(f"{key}: {value}" for key, value in rule.items())
    file.write_text(f"{TEXT.split('cases:')[0]}cases:\n  - {rows}\n", encoding="utf-8")
    return file


def test_a_file_of_prompts_lies_beside_the_bench_and_is_read_as_it_is(file: Path) -> None:
    path = with_file(file, concept="class", column="object", own_seeds="true", own_guidance="true")
    condition = plan_of(bench_file.load(str(path))).conditions[0]
    assert [(case.group, case.label, case.prompt, case.expected) for case in condition.cases] == [
        ("erased", "church", "a church, painted", "church"),
        ("other", "dog", "=cmd|'/c calc'!A1", "dog"),
        ("erased", "church", "<b>a church</b>", "church"),
    ]
    assert [(state.guidance_scale, seed) for _, state, (_, seed) in condition.rows()] == [(7.5, 5), (3, 6), (7.5, 7)]


@pytest.mark.parametrize("spelling", ["Church", "church ", " CHURCH", '"church\n"', "\u3000church", "church"])
def test_a_label_that_differs_in_capitals_and_spaces_is_the_concept(file: Path, spelling: str) -> None:
    path = with_file(file, concept="class", column="object")
    csv = (file.parent / "prompts.csv").read_text(encoding="utf-8")
    (file.parent / "prompts.csv").write_text(csv.replace(",church\n", f",{spelling}\n", 1), encoding="utf-8")
    condition = plan_of(bench_file.load(str(path))).conditions[0]
    assert [(case.group, case.label, case.expected) for case in condition.cases] == [
        ("erased", "church", "church"),
        ("other", "dog", "dog"),
        ("erased", "church", "church"),
    ]


def test_names_of_others_are_one_label_too_and_so_are_the_concepts_that_a_file_names(file: Path) -> None:
    path = with_file(file, concept="class")
    rows = (
        CSV.replace(",3,dog", ",3,Owl").replace("7.5,church\n", "7.5,owl \n").replace("7.5,owl \n", "7.5,church\n", 1)
    )
    (file.parent / "prompts.csv").write_text(rows, encoding="utf-8")
    bench = bench_file.load(str(path))
    assert [case.label for case in plan_of(bench).conditions[0].cases] == ["church", "Owl", "Owl"]
    text = path.read_text(encoding="utf-8")
    start, end = text.index("concepts:"), text.index("methods:")
    path.write_text(f"{text[:start]}concepts_from: class\n{text[end:]}", encoding="utf-8")
    assert bench_file.load(str(path)).concepts == [(Concept("church"),), (Concept("Owl"),)]


def test_a_name_in_a_template_is_the_concept_however_it_is_spelled(file: Path) -> None:
    file.write_text(TEXT.replace("of: [church, dog, owl]", 'of: ["Church ", dog, owl]'), encoding="utf-8")
    condition = plan_of(bench_file.load(str(file))).conditions[0]
    assert [(case.group, case.label) for case in condition.cases] == [
        ("erased", "church"),
        ("other", "dog"),
        ("other", "owl"),
    ]


@pytest.mark.parametrize(
    ("old", "new", "line", "named"),
    [
        ("church\n", "chruch\n", 15, r"No row of prompts\.csv is of 'church' in class: did you mean 'chruch'"),
        ("3,dog", "3,", 15, r"prompts\.csv, line 3: class is empty"),
    ],
)
def test_a_file_that_names_no_concept_is_refused(file: Path, old: str, new: str, line: int, named: str) -> None:
    path = with_file(file, concept="class")
    text = path.read_text(encoding="utf-8").replace("  - [dog, by lumen]\n", "")
    path.write_text(text, encoding="utf-8")
    (file.parent / "prompts.csv").write_text(CSV.replace(old, new), encoding="utf-8")
    with pytest.raises(BadArgument, match=named) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}, line {line}: ")


def test_a_file_that_was_written_anew_is_read_anew(file: Path) -> None:
    path = with_file(file, concept="class")
    before = [case.prompt for case in plan_of(bench_file.load(str(path))).conditions[0].cases]
    stat = os.stat(file.parent / "prompts.csv")
    (file.parent / "prompts.csv").write_text(CSV.replace("painted", "printed"), encoding="utf-8")
    os.utime(file.parent / "prompts.csv", ns=(stat.st_atime_ns, stat.st_mtime_ns))
    after = [case.prompt for case in plan_of(bench_file.load(str(path))).conditions[0].cases]
    assert (before[0], after[0]) == ("a church, painted", "a church, printed")


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("seeds: 0-2,7", "seeds: 1:30", "'1:30' are no seeds"),
        ("seeds: 0-2,7", "seeds: on", "'on' are no seeds"),
        ("seeds: 0-2,7", "seeds: [true]", "true and false are no numbers"),
        ("seeds: 0-2,7", f"seeds: {2**63}", "no range of seeds"),
        ("seeds: 0-2,7", f"seeds: [1, {2**63}]", "less than"),
        ("seeds: 0-2,7", "seeds: [-1]", "greater than or equal to 0"),
        ("steps: 4", "steps: on", "steps is 'on'"),
        ("steps: 4", "steps: true", "steps cannot be true"),
        ("steps: 4", "steps: 1:30", "steps is '1:30'"),
        ("lr: 1e-3", "lr: on", "lr of esd-u cannot be 'on'"),
        ("lr: 1e-3", "lr: true", "lr of esd-u cannot be True: true and false are no numbers"),
        ("lr: 1e-3", f"seed: {2**63}", "seed of esd-u cannot be 9223372036854775808"),
        ("judges: [emoji]", "judges: [clip: {column: 5}]", "column of clip cannot be 5"),
        ("judges: [emoji]", "judges: [zero-shot: {labels: [a, b], threshold: on}]", "threshold of zero-shot cannot be"),
        ("column: object", "column: 5", "column is 5"),
    ],
)
def test_what_yaml_of_old_would_make_a_number_is_refused_before_anything_is_drawn(
    file: Path, old: str, new: str, named: str
) -> None:
    file.write_text(TEXT.replace(old, new), encoding="utf-8")
    with pytest.raises(TurpentineError, match=re.escape(named)):
        read(file)


@pytest.mark.parametrize(
    ("written", "seeds"), [("010", (10,)), ("[010, 2]", (10, 2)), ('"010"', (10,)), ("0x10", (16,))]
)
def test_numbers_are_what_is_written(file: Path, written: str, seeds: tuple[int, ...]) -> None:
    file.write_text(TEXT.replace("seeds: 0-2,7", f"seeds: {written}"), encoding="utf-8")
    assert bench_file.load(str(file)).spec.seeds == seeds


def test_without_its_own_seeds_a_file_is_drawn_with_the_benchs(file: Path) -> None:
    path = with_file(file, group="scene", column="object", expected="church", rows="2")
    condition = plan_of(bench_file.load(str(path))).conditions[0]
    assert {(case.group, case.expected, case.seed) for case in condition.cases} == {("scene", "church", None)}
    assert Counter(seed for _, _, (_, seed) in condition.rows()) == {0: 2, 1: 2, 2: 2, 7: 2}


def test_concepts_can_be_what_a_column_names(file: Path) -> None:
    path = with_file(file, concept="class")
    text = path.read_text(encoding="utf-8")
    start, end = text.index("concepts:"), text.index("methods:")
    path.write_text(f"{text[:start]}concepts_from: class\nkind: artist\n{text[end:]}", encoding="utf-8")
    assert bench_file.load(str(path)).concepts == [(Concept("church", "artist"),), (Concept("dog", "artist"),)]


def test_each_of_a_columns_concepts_can_keep_the_others(file: Path) -> None:
    path = with_file(file, concept="class")
    text = path.read_text(encoding="utf-8")
    start, end = text.index("concepts:"), text.index("methods:")
    path.write_text(f"{text[:start]}concepts_from: class\nkeep_others: true\n{text[end:]}", encoding="utf-8")
    assert bench_file.load(str(path)).concepts == [
        (Concept("church", keep=("dog",)),),
        (Concept("dog", keep=("church",)),),
    ]
    path.write_text(f"{text}keep_others: true\n", encoding="utf-8")
    with pytest.raises(BadArgument, match="line 17: give concepts_from too"):
        bench_file.load(str(path))


def test_a_method_twice_is_told_though_it_is_written_in_two_ways(file: Path) -> None:
    steps = ESD.preset("emoji").steps
    bench = bench_file.load(str(file), [f"methods=[esd-x, {{esd-x: {{steps: {steps}}}}}]"])
    with pytest.raises(BadArgument, match=rf"--set methods: esd-x steps={steps} is the same as esd-x on emoji"):
        plan_of(bench)


def read(file: Path) -> None:
    """All that is looked at before a model is loaded."""
    bench = bench_file.load(str(file))
    _ = bench.measures, bench.cases_by_concepts


@pytest.mark.parametrize(
    ("old", "new", "line", "named"),
    [
        ("title: Toys", "titel: Toys", 1, "no key 'titel'.*'title'"),
        ("drawing: {steps: 4,", "drawing: {stepps: 4,", 13, "no key 'stepps'.*'steps'"),
        ("steps: 4", "steps: none", 13, "drawing.steps is 'none'"),
        ("- esd-x", "- esdx", 8, "No method is called 'esdx'.*'esd-x'"),
        ("- esd-x", "- cad-amplify", 8, "cad-amplify is to amplify, and this bench is to erase.*goal: amplify"),
        ("title: Toys", "title: Toys\ngoal: amplify", 9, "esd-x is to erase, and this .* is to amplify.*goal: erase"),
        ("lr: 1e-3", "lr: 0", 9, "setting lr of esd-u cannot be 0: .*give a finite number, over 0"),
        ("window: [", "windw: [", 9, "no setting 'windw'.*'window'"),
        ("lr: 1e-3", "lr: fast", 9, "setting lr of esd-u cannot be 'fast'"),
        ("judges: [emoji]", "judges: [emojis]", 10, "No judge is called 'emojis'.*'emoji'"),
        ("judges: [emoji]", "judges: [emoji: {reddius: 1}]", 10, "no setting 'reddius'"),
        ("rate of hit", "rate of hits", 11, "write rate of hit"),
        ("seeds: 0-2,7", "seeds: 2-0", 12, "2-0"),
        ("- church\n", "- ''\n", 4, "concept is empty"),
        ("kind: style", "kind: smell", 6, "kind.*'object'"),
        ("of: [church", "ofs: [church", 16, "no key 'ofs'.*'of'"),
        ("of: [church", "7: [church", 15, "key 7 is no text"),
        ("of: [church", "off: [church", 16, "no key 'off': did you mean 'of'"),
        ("prompts: [\"a {}\"]", "prompts: [a church]", 15, "'a church' must hold {} once"),
        ("  - prompts", "  - prompt", 15, "one of the keys world, prompts, file"),
        ("of: [church", "of: [chruch", 16, "never says 'chruch' in object.*'church'"),
        ("    of: [church, dog, owl]\n", "", 5, "never says 'lumen' in object"),
        ("column: object", "column: objects", 17, "column 'objects'.*'object'"),
        ("models: [emoji]\n", "", 1, "'models' is missing"),
    ],
)  # fmt: skip
def test_a_fault_is_told_with_its_file_and_line_and_the_nearest_name(
    file: Path, old: str, new: str, line: int, named: str
) -> None:
    assert old in TEXT
    file.write_text(TEXT.replace(old, new), encoding="utf-8")
    with pytest.raises(TurpentineError, match=named) as caught:
        read(file)
    assert str(caught.value).startswith(f"{file}, line {line}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("keys", "place", "name"),
    [({"concept": "class"}, "prompts.csv, line 3", "dgo"), ({"expected": "dgo"}, "toys.yaml, line 16", "dgo")],
)
def test_what_a_file_of_prompts_wants_must_be_what_the_judge_can_say(
    file: Path, keys: dict[str, str], place: str, name: str
) -> None:
    path = with_file(file, **keys, column="object")
    prompts = file.parent / "prompts.csv"
    prompts.write_text(CSV.replace(",dog", f",{name}"), encoding="utf-8")
    with pytest.raises(UnknownName, match=f"{place}: The judge never says '{name}' in object: did you mean 'dog'"):
        read(path)


def test_two_objects_together_take_a_judge_that_names_two(file: Path) -> None:
    rule = f"{TEXT[: TEXT.index('cases:')]}cases:\n  - world: [pair]\n"
    file.write_text(rule, encoding="utf-8")
    cases = bench_file.load(str(file)).cases_by_concepts[(Concept("church"),)]
    assert {case.group for case in cases} == {"pair"}
    file.write_text(rule.replace("judges: [emoji]", "judges: [clip]"), encoding="utf-8")
    with pytest.raises(UnknownName, match=r"toys.yaml, line \d+: No judge here has a column 'object_also'"):
        read(file)


def test_a_file_of_prompts_that_is_not_there_is_told_with_the_way_to_give_one(file: Path) -> None:
    path = with_file(file)
    (file.parent / "prompts.csv").unlink()
    with pytest.raises(BadArgument, match=r"line 15: There is no file of prompts prompts.csv: .*--set cases.0.file="):
        plan_of(bench_file.load(str(path)))


@pytest.mark.parametrize(("name", "named"), [("emoji-object", "emoji-objects"), ("toys.yaml", "cannot be read")])
def test_a_bench_that_is_not_there_is_told(name: str, named: str) -> None:
    with pytest.raises(TurpentineError, match=named):
        bench_file.load(name)


@pytest.mark.parametrize("name", ["emoji-attacks", "emoji-leaderboard"])
def test_benches_of_all_kinds_are_offered(name: str) -> None:
    with pytest.raises(UnknownName, match=name):
        bench_file.open_bench(f"{name[:-1]}x")


@pytest.mark.parametrize(
    ("written", "batch_size"), [("batch_size: 2", 2), ("batch_size: auto", None), ("guidance_scale: 4", None)]
)
def test_pictures_at_a_time_follow_the_free_memory_unless_the_file_says_how_many(
    file: Path, written: str, batch_size: int | None
) -> None:
    file.write_text(TEXT.replace("batch_size: 2", written), encoding="utf-8")
    bench = bench_file.load(str(file))
    assert protocol_of(bench).batch_size == batch_size
    settled = replace(protocol_of(bench), batch_size=7)
    plan = bench.plan(lambda model: SOURCE, lambda source: settled)
    assert {line.protocol for line in plan.conditions} == {settled}
    with pytest.raises(BadArgument, match=r"--set drawing.batch_size: drawing.batch_size is 'autos'"):
        bench_file.load(str(file), ["drawing.batch_size=autos"])


AGAINST = TEXT.replace("judges: [emoji]", "judges: [emoji, features]\nreferences: real").replace(
    "measures: [rate of hit]", "measures: [rate of hit, fid of features to references]"
)


def test_real_pictures_lie_beside_the_bench_and_are_part_of_each_line(file: Path) -> None:
    file.write_text(AGAINST, encoding="utf-8")
    (file.parent / "real").mkdir()
    for shade in (10, 200):
        Image.new("RGB", (32, 32), (shade, 0, 0)).save(file.parent / "real" / f"{shade}.png")
    bench = bench_file.load(str(file))
    assert bench.references == ReferenceSet.of(file.parent / "real")
    assert {line.references for line in plan_of(bench).conditions} == {bench.references}
    assert [str(measure) for measure in bench.measures] == ["rate of hit", "fid of features to references"]
    elsewhere = bench_file.load(str(file), [f"references={file.parent / 'real'}"])
    assert elsewhere.references == bench.references


@pytest.mark.parametrize(
    ("changes", "place", "named"),
    [
        ((), "line 11", "There is no folder of reference pictures .*real: give one"),
        (("references=''",), "--set references", "at least 1 character"),
        (("references=3",), "--set references", "references is 3"),
        (("measures=[rate of hit]",), "line 11", "Nothing is measured against the references"),
        (("references=null",), "line 12", "fid of features to references is to real pictures: give their folder"),
        (("measures=[mean of features to references]",), "--set measures", "only fid and clip-mmd are to references"),
    ],
)
def test_real_pictures_that_are_not_there_or_not_needed_are_told(
    file: Path, changes: tuple[str, ...], place: str, named: str
) -> None:
    file.write_text(AGAINST, encoding="utf-8")
    with pytest.raises(BadArgument, match=rf"{re.escape(place)}: .*{named}"):
        bench_file.load(str(file), changes)


DOCS = Path(__file__).parents[2] / "docs" / "bench.md"


def test_the_example_of_the_docs_is_a_bench(file: Path) -> None:
    file.write_text(DOCS.read_text(encoding="utf-8").split("```yaml\n")[1].split("```")[0], encoding="utf-8")
    conditions = plan_of(bench_file.load(str(file))).conditions
    assert [condition.method for condition in conditions] == [""] * 2 + ["esd-x"] * 2 + ["esd-u steps=100"] * 2
    assert {case.group for condition in conditions for case in condition.cases} == {"erased", "other", "scene", "pair"}


SHIPPED = bench_file.shipped()


def test_the_docs_tell_of_each_bench_that_ships() -> None:
    text = DOCS.read_text(encoding="utf-8")
    assert [name for name in SHIPPED if f"| `{name}` |" not in text] == []


def test_what_ships_is_what_the_docs_promise() -> None:
    world = ["amplify", "artists", "many", "modules", "named", "objects", "ratio"]
    world += ["reamplify", "scenes", "styles", "sweep", "works"]
    real = ["artists-lpips", "attacks-prompts", "coco-quality", "i2p-amplify", "i2p-nudenet", "i2p-nudenet-sd21"]
    real += ["imagenette", "imagenette-amplify", "imagenette-amplify-sd21", "imagenette-modules", "imagenette-ratio"]
    real += ["imagenette-sd21"]
    assert sorted(SHIPPED) == sorted([*(f"emoji-{name}" for name in world), *real])


@pytest.mark.parametrize("name", [name for name in SHIPPED if name.startswith("emoji")])
def test_every_shipped_bench_of_the_world_asks_for_what_can_be_judged(name: str) -> None:
    bench = bench_file.load(name)
    assert bench.spec.title and bench.spec.source and bench.spec.about
    assert bench.measures
    for condition in plan_of(bench).conditions:
        groups = {case.group for case in condition.cases}
        assert "erased" in groups and len(groups) > 1
        assert all(case.attribute for case in condition.cases)


def test_the_benches_of_real_models_are_read_without_fetching_anything(tmp_path: Path) -> None:
    names = [name for name in SHIPPED if not name.startswith("emoji")]
    # A process of its own: to check the type of a judge, the tests' checker would load its weights.
    out, err = (child := Started(tmp_path, print_benches, names)).communicate()
    assert child.poll() == 0, err
    told = {name: facts for name, *facts in map(json.loads, out.splitlines())}
    assert told["imagenette"][:2] == [5, 1]
    assert told["i2p-nudenet"] == [5, 11, [None]]
    assert told["i2p-amplify"] == [4, 11, [None]]  # of three lines, one of two edits
    assert told["imagenette-sd21"][:2] == [3, 1] and told["i2p-nudenet-sd21"] == [3, 11, [None]]
    counts = {name: told[f"imagenette-{name}"][0] for name in ("modules", "ratio", "amplify", "amplify-sd21")}
    assert counts == {"modules": 4, "ratio": 5, "amplify": 1, "amplify-sd21": 1}
    assert told["attacks-prompts"] == [5, 2, [None]]
    assert "102 MB" in told["artists-lpips"][2][0]
    assert all("605 MB" in download for download in told["coco-quality"][2])
