"""The emoji world: sprites, captions, the small embedded model with its weights and judge, and how it is trained."""

from pathlib import Path

WEIGHTS = Path(__file__).parent / "weights"
"""The shipped model: a diffusers folder that also holds the towers and the judge."""
