"""The embedded world: sprites, captions, the recipe of the small model, its weights and its judge."""

from pathlib import Path

WEIGHTS = Path(__file__).parent / "weights"
"""The shipped model: a diffusers folder with the towers and the judge beside the pipeline."""
