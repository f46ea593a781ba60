"""Loading a model: the embedded one, the hub, a folder, a single file, or a pipeline object. Never a pickle."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import torch

from turpentine.core.errors import BadArgument, ModelNotFound
from turpentine.core.safe_text import one_line
from turpentine.core.telemetry import switch_off
from turpentine.emoji import LARGER_NAME, LARGER_WEIGHTS, MMDIT_WEIGHTS
from turpentine.models.loading.folder import read_folder
from turpentine.models.loading.number_formats import number_format
from turpentine.models.loading.prediction import Prediction
from turpentine.models.loading.quiet_logging import quiet
from turpentine.models.loading.single_file import config_of, exported_from, read_file
from turpentine.models.loading.source import is_built, locate
from turpentine.models.model import Model
from turpentine.models.placement import device_of

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline


def load(
    source: str | Path | DiffusionPipeline = "emoji",
    *,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
    config: str | Path | None = None,
    prediction: str | None = None,
    zero_snr: bool | None = None,
) -> Model:
    """Load a model.

    Args:
        source: "emoji", the embedded model, "emoji-64", the larger one, or "emoji-mmdit", the transformer; an oracle of
            its world that ships, such as "emoji-without-church" or "emoji-unnamed-church"; a diffusers folder; a single
            `.safetensors` file; a hub id such as "CompVis/stable-diffusion-v1-4", from the local cache or the hub; or a
            pipeline, which is used as it is.
        device: By default CUDA if there is one, else the CPU.
        dtype: "float32", "float16" or "bfloat16", or torch's own; by default fp16 on CUDA and fp32 elsewhere.
        config: For a single file, the diffusers folder or hub id with the configs and tokenizers of its family; by
            default those of the model that a file of ours was exported from, if they are here; else diffusers finds out
            which family it is and gets them from the local cache or the hub.
        prediction: What the network predicts, "epsilon" or "v_prediction", where the files do not say it, or wrongly;
            by default what a single file says, else the configs.
        zero_snr: Was it trained on a schedule that ends in pure noise? By default as with `prediction`.

    Raises:
        BadArgument: A setting that does not exist, or that goes with another kind of source.
        ModelNotFound: There is no model, or not all of it.
        UnsafeFile: A pickle.
        NoMemory: The weights do not fit into the memory that is free; none of them has been read.
        UnsupportedModel: A model of another family.

    Example:
        >>> load().describe()["family"]
        'Stable Diffusion'
    """
    given, chosen = Prediction(prediction, zero_snr), None if dtype is None else number_format(dtype)
    if not isinstance(source, str | Path):
        if config is not None or given != Prediction():
            raise BadArgument("A pipeline is used as it is: set its scheduler, and leave out config and prediction.")
        return _placed(source, device_of(device) if device else None, chosen, "")
    where = device_of(device) if device else _default_device()
    number = chosen or (torch.float16 if where.type == "cuda" else torch.float32)
    # bf16 rounds more than the fingerprint does, which is therefore taken of what the files hold.
    read_as = torch.float32 if number == torch.bfloat16 else number
    path = locate(str(source))
    switch_off()
    with quiet():
        pipeline = _read(path, read_as, config, given, where)
        _check_filled(pipeline, str(source))
    model = _placed(pipeline, where, number if number != read_as else None, str(source))
    options = {"config": None if config is None else str(config), "prediction": prediction, "zero_snr": zero_snr}
    model.load_options = {key: value for key, value in options.items() if value is not None}
    return model


def _read(path: Path, dtype: torch.dtype, config: str | Path | None, given: Prediction, device: torch.device) -> Any:
    if path.is_file():
        with _config_for(path, config) as folder:
            return read_file(path, dtype, folder, given, device)
    if config is not None:
        raise BadArgument(f"{one_line(str(path))} is a folder and has its own configs: leave out config.")
    pipeline = _built(path, dtype) if is_built(path) else read_folder(path, dtype, device)
    given.set_on(pipeline)
    return pipeline


@contextmanager
def _config_for(path: Path, config: str | Path | None) -> Iterator[str | Path | None]:
    """Yield the config of a single file: the given one, or that of the model that it was exported from, if it is here.

    The larger model has its configs in no folder of diffusers' layout: it is written for as long as the file is read.
    """
    if config is not None or exported_from(path) != LARGER_NAME:
        yield config or config_of(path)
        return
    from turpentine.emoji.larger_model import write_configs

    with TemporaryDirectory() as folder:
        write_configs(Path(folder))
        yield folder


def _built(path: Path, dtype: torch.dtype) -> Any:
    """Return an embedded model that is built here; the modules that do it import what trains it."""
    if path == LARGER_WEIGHTS:
        from turpentine.emoji.larger_model import larger_pipeline

        return larger_pipeline(dtype)
    if path == MMDIT_WEIGHTS:
        from turpentine.emoji.mmdit_model import mmdit_pipeline

        return mmdit_pipeline(dtype)
    from turpentine.emoji.oracle_model import oracle_pipeline

    return oracle_pipeline(path, dtype)


def _default_device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _placed(pipeline: Any, device: Any, dtype: torch.dtype | None, name: str) -> Model:
    model = Model(pipeline, name)
    if dtype == torch.bfloat16:
        _ = model.fingerprint  # which is kept
    if device is not None or dtype is not None:
        with quiet():
            pipeline.to(device=device, dtype=dtype)
    for component in model.family.full_precision():
        with quiet():
            model.components[component].to(torch.float32)
    model.note_weights()
    return model


def _check_filled(pipeline: Any, source: str) -> None:
    """Refuse a model with a weight missing: diffusers leaves it without numbers."""
    for component, network in pipeline.components.items():
        for name, weight in network.named_parameters() if isinstance(network, torch.nn.Module) else ():
            if weight.is_meta:
                raise ModelNotFound(f"{one_line(source)} holds no weight '{component}.{name}': it is not all there.")
