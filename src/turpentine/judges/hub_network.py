"""Networks of transformers, from a folder, the local cache or the hub. Never a pickle."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import torch
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import EntryNotFoundError
from jaxtyping import Float
from PIL import Image
from torch import Tensor
from transformers import AutoImageProcessor

from turpentine.core.errors import BadArgument, ModelNotFound
from turpentine.core.hashing import digest
from turpentine.core.imaging import as_seen
from turpentine.core.random_state import preserved_rng
from turpentine.core.safe_text import one_line
from turpentine.judges.weights import weights_digest
from turpentine.models.loading.hub import check_on_hub, is_cached, is_repository_name
from turpentine.models.loading.quiet_logging import quiet
from turpentine.models.loading.safe_reading import check_names, clear_errors, shard_names

SIZES: Mapping[str, str] = {
    "microsoft/resnet-50": "102 MB",
    "openai/clip-vit-base-patch32": "605 MB",
    "openai/clip-vit-large-patch14": "1.7 GB",
    "openai/clip-vit-large-patch14-336": "1.7 GB",
}
"""What a download takes, for the networks that the field uses most."""

# What decides a processor's pixels; libraries add other keys to its config.
_PROCESSING = (
    "do_resize",
    "size",
    "resample",
    "crop_pct",
    "do_center_crop",
    "crop_size",
    "do_rescale",
    "rescale_factor",
    "do_normalize",
    "image_mean",
    "image_std",
)
_PROVENANCE = frozenset(("transformers_version", "name_or_path", "dtype", "torch_dtype", "architectures"))
_WEIGHTS = ("model.safetensors", "model.safetensors.index.json")

BATCH = 32
"""Pictures at a time."""


@dataclass(frozen=True, eq=False)
class HubNetwork:
    """A network of transformers that reads pictures; it is loaded when it is first used.

    Args:
        model: A folder, or a hub id.
        commit: Of the hub's repository.
        device: By default CUDA if there is one.
        preprocessing: Changes to what the model's own config says of pictures.
    """

    transformer: ClassVar[Any]
    """The class of transformers."""
    code: ClassVar[str]
    """The revision of the code that uses it; raise it with any change that could give another answer."""
    kind: ClassVar[str] = "model"
    """What `settings` calls it."""

    model: str
    commit: str | None = None
    device: str | None = None
    preprocessing: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def revision(self) -> str:
        """SHA-256 over the revision of the code, all weights, and whatever else of the files decides an answer."""
        return weights_digest(f"{self.code}\n{digest(self.facts)}", self._network)

    @property
    def facts(self) -> dict[str, Any]:
        """What decides an answer beside weights and settings: the config with its classes, and the processor's rest."""
        rest = {key: value for key, value in config_facts(self._processor).items() if key not in _PROCESSING}
        return {"config": config_facts(self._network.config), "processor": [type(self._processor).__name__, rest]}

    @property
    def settings(self) -> Mapping[str, Any]:
        """The model's name, and what is done to pictures before it sees them."""
        return {self.kind: self.model, "preprocessing": processing(self._processor)}

    @property
    def download(self) -> str | None:
        """What must be fetched first; None if all is here."""
        return to_fetch(self.model, self.commit)

    def _batches(self, images: Sequence[Image.Image]) -> Iterator[Float[Tensor, "batch 3 height width"]]:
        return batches(self._processor, images, self._network.device)

    @cached_property
    def _network(self) -> Any:
        return read_network(self.transformer, self.model, self.commit, self.device)

    @cached_property
    def _processor(self) -> Any:
        return read_processor(self.model, self.commit, self.preprocessing)


def to_fetch(model: str, commit: str | None = None) -> str | None:
    """Return what must be fetched from the hub before a network can be read.

    Args:
        model: A folder, or a hub id.
        commit: Of the hub's repository.

    Returns:
        The model and its size; None if it is in a folder or in the local cache.

    Raises:
        ModelNotFound: The text can be neither a folder nor a hub id.
    """
    if Path(model).expanduser().is_dir():
        return None
    if not is_repository_name(model):
        raise ModelNotFound(f"{one_line(model)!r} is neither a folder here nor a hub id.")
    if is_cached(model, *_WEIGHTS, revision=commit):
        return None
    return f"{one_line(model)} from the Hugging Face hub ({SIZES.get(model, 'of a size that is not known')})"


def read_network(cls: Any, model: str, commit: str | None, device: str | None) -> Any:
    """Read a network in fp32, for use and not for training.

    Args:
        cls: The class of transformers.
        model: A folder, or a hub id.
        commit: Of the hub's repository.
        device: By default CUDA if there is one.

    Raises:
        ModelNotFound: There is no such network, or it lacks weights.
        UnsafeFile: Its folder names a file that is no .safetensors file in it.
    """
    with _reading(model), quiet(), preserved_rng():
        folder = _fetched(model, commit)
        check_names(folder)
        network, loading = cls.from_pretrained(
            str(folder), use_safetensors=True, trust_remote_code=False, dtype=torch.float32, output_loading_info=True
        )
    missing = sorted(loading["missing_keys"])
    if missing:
        raise ModelNotFound(f"{one_line(model)} holds no weight {missing[0]!r}: it is not a whole {cls.__name__}.")
    return network.eval().to(device or ("cuda" if torch.cuda.is_available() else "cpu"))


def judge_of(model: str, commit: str | None = None) -> str:
    """Return the name of the judge that a network of the hub, or of a folder, is for; only its config is read.

    Args:
        model: A folder, or a hub id.
        commit: Of the hub's repository.

    Returns:
        "clip" for a CLIP model, "classifier" for a classifier of pictures.

    Raises:
        ModelNotFound: There is no such network.
        BadArgument: It is for something else.
    """
    from transformers import AutoConfig

    with _reading(model), quiet():
        config = AutoConfig.from_pretrained(_place(model, commit), revision=commit, trust_remote_code=False)
    if config.model_type == "clip":
        return "clip"
    classes = config.architectures or []
    if any(name.endswith("ForImageClassification") for name in classes):
        return "classifier"
    raise BadArgument(
        f"{one_line(model)} holds {', '.join(classes) or config.model_type}: "
        "a judge is a CLIP model or a classifier of pictures."
    )


def read_processor(model: str, commit: str | None, changes: Mapping[str, Any]) -> Any:
    """Read what turns pictures into a network's input.

    Args:
        model: A folder, or a hub id.
        commit: Of the hub's repository.
        changes: Keys of its config with other values.

    Raises:
        ModelNotFound: There is none.
    """
    with _reading(model), quiet():
        # By Pillow wherever it runs: with torchvision the same picture would get other numbers.
        return AutoImageProcessor.from_pretrained(
            _place(model, commit), revision=commit, backend="pil", trust_remote_code=False, **changes
        )


def read_tokenizer(cls: Any, model: str, commit: str | None) -> Any:
    """Read a network's tokenizer.

    Args:
        cls: The class of transformers.
        model: A folder, or a hub id.
        commit: Of the hub's repository.

    Raises:
        ModelNotFound: There is none.
    """
    with _reading(model), quiet():
        return cls.from_pretrained(_place(model, commit), revision=commit)


def processing(processor: Any) -> dict[str, Any]:
    """Return the part of a processor's config that decides the pixels, in types of JSON."""
    config = processor.to_dict()
    facts: dict[str, Any] = json.loads(json.dumps({key: config[key] for key in _PROCESSING if key in config}))
    return facts


def config_facts(config: Any) -> dict[str, Any]:
    """Return a config of transformers as types of JSON, without where it came from and which release wrote it."""
    facts: dict[str, Any] = json.loads(json.dumps(config.to_dict(), default=str))
    return {key: value for key, value in facts.items() if not key.startswith("_") and key not in _PROVENANCE}


def batches(
    processor: Any, images: Sequence[Image.Image], device: Any
) -> Iterator[Float[Tensor, "batch 3 height width"]]:
    """Yield the pictures as a network reads them, BATCH at a time."""
    for start in range(0, len(images), BATCH):
        rgb = [as_seen(image) for image in images[start : start + BATCH]]
        yield processor(rgb, return_tensors="pt")["pixel_values"].to(device)


def _fetched(model: str, commit: str | None) -> Path:
    """Return the folder of a network, with all its weights: a library reads from a hub what an index there names."""
    folder = Path(model).expanduser()
    if folder.is_dir():
        return folder
    folder = Path(hf_hub_download(model, "config.json", revision=commit)).parent
    try:
        hf_hub_download(model, "model.safetensors", revision=folder.name)
    except EntryNotFoundError:
        index = Path(hf_hub_download(model, "model.safetensors.index.json", revision=folder.name))
        for name in shard_names(index):
            hf_hub_download(model, name, revision=folder.name)
    return folder


def _place(model: str, commit: str | None) -> str:
    """Return a network's folder, or its hub id once it is clear that the hub has it.

    Raises:
        ModelNotFound: The folder holds none, or the hub has none or cannot be reached.
    """
    folder = Path(model).expanduser()
    if not folder.is_dir():
        check_on_hub(model, *_WEIGHTS, revision=commit)
        return model
    if not (folder / "config.json").is_file():
        raise ModelNotFound(f"The folder {one_line(model)} holds no network of transformers: it has no config.json.")
    return str(folder)


def _reading(model: str) -> Any:
    is_folder = Path(model).expanduser().is_dir()
    place = f"in the folder {one_line(model)}" if is_folder else f"{one_line(model)!r} of the hub"
    return clear_errors(f"The network {place} cannot be read")
