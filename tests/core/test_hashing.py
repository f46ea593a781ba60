from __future__ import annotations

import ast
import hashlib
from pathlib import Path

import torch
from PIL import Image

import turpentine
from turpentine.core.hashing import digest, digest_bytes, digest_chunks, digest_file, digest_images, digest_tensor


def test_digests_are_sha256_of_what_they_say(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    expected = hashlib.sha256(b"abc").hexdigest()
    assert digest_bytes(b"a", b"bc") == digest_chunks(iter([b"ab", b"c"])) == digest_file(tmp_path / "a") == expected
    assert digest({"b": (1, "é"), "a": None}) == hashlib.sha256(b'{"a":null,"b":[1,"\\u00e9"]}').hexdigest()


def test_a_tensors_values_dtype_and_shape_all_count() -> None:
    x = torch.arange(6.0)
    others = [x.reshape(2, 3), x.double(), x + 1, x.int(), x.reshape(2, 3).T, torch.tensor(0.0), torch.empty(0)]
    assert digest_tensor(x) == digest_tensor(x.clone()) == digest_tensor(torch.stack([x, x], dim=1)[:, 0])
    assert len({digest_tensor(each) for each in (x, *others)}) == 1 + len(others)


def test_pictures_count_by_size_and_pixels_in_their_order() -> None:
    one, other = Image.new("RGB", (2, 3)), Image.new("RGB", (3, 2))
    assert digest_images([]) == ""
    assert digest_images([one]) == digest_images([one.copy()])
    assert len({digest_images(each) for each in ([one], [other], [one, other], [other, one])}) == 4


def test_no_other_module_computes_a_hash() -> None:
    root = Path(turpentine.__file__).parent
    importing = [
        str(path.relative_to(root))
        for path in root.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Import | ast.ImportFrom)
        and "hashlib" in {getattr(node, "module", None), *(alias.name for alias in node.names)}
    ]
    assert importing == ["core/hashing.py"]
