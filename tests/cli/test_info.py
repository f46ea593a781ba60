from __future__ import annotations

import json
from collections.abc import Callable

import turpentine as tp

Command = Callable[..., tuple[int, str, str]]


def test_the_sites_are_told_with_names_and_sizes(command: Command, tiny_folder: str) -> None:
    code, out, _ = command("info", "--model", tiny_folder, "--kind", "cross-attention", "--json")
    assert code == 0
    told = json.loads(out)
    labels = [site["label"] for site in told["sites"]]
    assert labels == [*(f"DOWN{n}" for n in range(1, 7)), "MID", *(f"UP{n}" for n in range(1, 10))]
    model = tp.load(tiny_folder)
    for site in told["sites"]:
        assert site["weights"] == sum(weight.numel() for weight in model.module(site["name"]).parameters())
    assert told["model"]["fingerprint"] == model.fingerprint
    assert told["machine"]["torch"]


def test_the_same_is_told_to_a_person(command: Command, tiny_folder: str) -> None:
    code, out, _ = command("info", "--model", tiny_folder, "--label", "MID")
    assert code == 0
    assert "unet.mid_block.attentions.0.transformer_blocks.0.attn2" in out
    assert "16 x 16" in out


def test_a_selection_of_nothing_says_what_exists(command: Command, tiny_folder: str) -> None:
    code, _, err = command("info", "--model", tiny_folder, "--kind", "nose")
    assert code == 2
    assert "'nose'" in err
    assert "cross-attention" in err
