"""Statistics of use, which libraries send to their makers unless they are told not to."""

from __future__ import annotations

import os
from collections.abc import Mapping

SWITCHES: Mapping[str, str] = {
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "ORT_DISABLE_TELEMETRY": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
}
"""The variables of huggingface_hub, onnxruntime and Ray. diffusers imports onnxruntime wherever that is installed."""


def switch_off() -> None:
    """Tell libraries to send no statistics, before they are imported; what the user has set stays.

    Example:
        >>> switch_off()
        >>> os.environ["ORT_DISABLE_TELEMETRY"]
        '1'
    """
    for name, value in SWITCHES.items():
        os.environ.setdefault(name, value)
