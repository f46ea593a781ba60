"""The libraries kept from talking."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet(*, bars: bool = False) -> Iterator[None]:
    """Silence the progress bars and warnings of the libraries inside a `with` block.

    Args:
        bars: Leave the progress bars, which show how far a download is.
    """
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    libraries = (diffusers_logging, transformers_logging)
    before = [(library, library.get_verbosity(), library.is_progress_bar_enabled()) for library in libraries]
    hub = logging.getLogger("huggingface_hub")
    hub_before = hub.level
    hub.setLevel(logging.ERROR)
    for library in libraries:
        library.set_verbosity_error()
        if not bars:
            library.disable_progress_bar()
    try:
        yield
    finally:
        hub.setLevel(hub_before)
        for library, verbosity, was_shown in before:
            library.set_verbosity(verbosity)
            if was_shown:
                library.enable_progress_bar()
