"""Pictures drawn by a protocol, and what judges see in them."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

import polars as pl
from PIL import Image

from turpentine.bench.cases import Case
from turpentine.bench.ledger import Ledger
from turpentine.bench.protocol import Protocol
from turpentine.edits import stack_of
from turpentine.errors import BadArgument
from turpentine.judges import Judge, PictureStatistics
from turpentine.models import Model
from turpentine.progress import Progress

Pair: TypeAlias = tuple[str, int]
"""A prompt and a seed: together with the model and the protocol they are one picture."""

Pictures: TypeAlias = Mapping[Pair, Image.Image]


@dataclass(frozen=True, eq=False)
class Measurement:
    """Pictures and what was seen in them.

    rows: one for each case and seed: the case's fields, seed, hit (null where nobody knows what should be seen), and
    the judges' columns. images: the pictures by prompt and seed. protocol: all that must be the same in two
    measurements for them to be compared, as JSON has it.
    """

    rows: pl.DataFrame
    images: Pictures
    protocol: Mapping[str, Any]


def measure(
    model: Model,
    cases: Sequence[Case],
    judge: Judge | None,
    protocol: Protocol | None = None,
    *,
    ledger: Ledger | None = None,
    progress: Progress | None = None,
) -> Measurement:
    """Draw each prompt with each seed, once however many cases share it, and judge the pictures.

    judge: None where no judge can read the model's pictures; what the pixels alone say is measured in any case.
    ledger: keeps finished pictures, and what it holds is not drawn again. progress: called with pictures done and in
    all. Raises BadArgument where the judge knows nothing of a case's attribute, before any work.
    """
    protocol = protocol or Protocol()
    _check_attributes(cases, _judges(judge))
    images = _draw(model, _pairs(cases, protocol.seeds), protocol, ledger, progress)
    return Measurement(judge_pictures(cases, images, judge, protocol), images, comparable(cases, judge, protocol))


def judge_pictures(cases: Sequence[Case], images: Pictures, judge: Judge | None, protocol: Protocol) -> pl.DataFrame:
    """The rows of a measurement: for each case and seed what is seen in its picture, and whether that is a hit."""
    return _rows(cases, protocol.seeds, _judged(images, _judges(judge)))


def comparable(cases: Sequence[Case], judge: Judge | None, protocol: Protocol) -> dict[str, Any]:
    """What two measurements must share to be compared, as JSON has it: drawing, cases and judges."""
    judged_by = [{"name": one.name, "revision": one.revision, "settings": dict(one.settings)} for one in _judges(judge)]
    return {**protocol.facts(), "cases": _digest([asdict(case) for case in cases]), "judges": judged_by}


def to_png(image: Image.Image) -> bytes:
    """The picture as a PNG file."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def pictures_in(ledger: Ledger) -> dict[Pair, Image.Image]:
    """All pictures that a ledger holds."""
    parts = [ledger.get(key) for key in ledger]
    return {pair: image for part in parts if part is not None for pair, image in _unpack(part).items()}


def _judges(judge: Judge | None) -> list[Judge]:
    return [*([judge] if judge else []), PictureStatistics()]


def _check_attributes(cases: Iterable[Case], judges: Iterable[Judge]) -> None:
    known = {column for judge in judges for column in judge([]).columns}
    missing = sorted({case.attribute for case in cases if case.attribute} - known)
    if missing:
        raise BadArgument(f"The judge says nothing of {', '.join(missing)}: it knows {', '.join(sorted(known))}.")


def _pairs(cases: Iterable[Case], seeds: Iterable[int]) -> list[Pair]:
    """Each prompt with each seed, once, in the cases' order."""
    prompts = dict.fromkeys(case.prompt for case in cases)
    seeds = tuple(seeds)
    return [(prompt, seed) for prompt in prompts for seed in seeds]


def _draw(
    model: Model, pairs: Sequence[Pair], protocol: Protocol, ledger: Ledger | None, progress: Progress | None
) -> dict[Pair, Image.Image]:
    """All pictures. Batches are the same whether or not some are in the ledger, so that a resume changes no bit."""
    images: dict[Pair, Image.Image] = {}
    state = [model.fingerprint, list(stack_of(model).ids), str(model.dtype), protocol.facts()]
    for start in range(0, len(pairs), protocol.batch_size):
        batch = pairs[start : start + protocol.batch_size]
        images |= _kept_or_drawn(model, batch, protocol, ledger, f"{start:06d}-{_digest([state, batch])[:16]}")
        if progress:
            progress(len(images), len(pairs))
    return images


def _kept_or_drawn(
    model: Model, batch: Sequence[Pair], protocol: Protocol, ledger: Ledger | None, key: str
) -> dict[Pair, Image.Image]:
    kept = ledger.get(key) if ledger else None
    if kept is not None:
        return _unpack(kept)
    prompts, seeds = zip(*batch, strict=True)
    images = model.generate(
        prompts,
        seeds=seeds,
        steps=protocol.steps,
        guidance_scale=protocol.guidance_scale,
        solver=protocol.solver,
        size=protocol.size,
        batch_size=protocol.batch_size,
    )
    if ledger:
        ledger.put(key, pl.DataFrame({"prompt": prompts, "seed": seeds, "png": [to_png(image) for image in images]}))
    return dict(zip(batch, images, strict=True))


def _unpack(part: pl.DataFrame) -> dict[Pair, Image.Image]:
    return {(prompt, seed): _from_png(png) for prompt, seed, png in part.select("prompt", "seed", "png").iter_rows()}


def _from_png(png: bytes) -> Image.Image:
    return Image.open(io.BytesIO(png)).convert("RGB")


def _judged(images: Pictures, judges: Iterable[Judge]) -> pl.DataFrame:
    """A row for each picture: prompt, seed and what the judges see."""
    pairs = pl.DataFrame(list(images), schema={"prompt": pl.String, "seed": pl.Int64}, orient="row")
    return pl.concat([pairs, *(judge(list(images.values())) for judge in judges)], how="horizontal")


def _rows(cases: Sequence[Case], seeds: Sequence[int], seen: pl.DataFrame) -> pl.DataFrame:
    """A row for each case and seed, in order."""
    text = dict.fromkeys(("group", "label", "prompt", "attribute", "wanted"), pl.String)
    asked = [(*asdict(case).values(), seed) for case in cases for seed in seeds]
    rows = pl.DataFrame(asked, schema={**text, "seed": pl.Int64}, orient="row")
    rows = rows.join(seen, on=["prompt", "seed"], how="left", maintain_order="left")
    return rows.with_columns(_hit(rows).alias("hit"))


def _hit(rows: pl.DataFrame) -> pl.Expr:
    """Is what the case's attribute was judged to be the wanted thing?"""
    hit = pl.lit(None, dtype=pl.Boolean)
    for attribute in rows["attribute"].drop_nulls().unique():
        # A work may be null, near none, and is then not the wanted one.
        is_wanted = pl.col(attribute).eq_missing(pl.col("wanted"))
        hit = pl.when(pl.col("attribute") == attribute).then(is_wanted).otherwise(hit)
    return hit


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
