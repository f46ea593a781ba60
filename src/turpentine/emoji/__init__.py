"""The emoji world: sprites, captions, the small embedded model with its weights and judge, and how it is trained."""

from pathlib import Path

WORLD = "emoji"
"""The name of the world, and of the embedded model that draws it."""

WEIGHTS = Path(__file__).parent / "weights"
"""The shipped model: a diffusers folder that also holds the towers and the judge."""

LARGER_WEIGHTS = Path(__file__).parent / "larger"
"""The larger model's networks, in a layout of their own; see `larger_model`."""

LARGER_NAME = "emoji-64"
"""The name of the larger model."""

MMDIT_WEIGHTS = Path(__file__).parent / "mmdit"
"""The embedded transformer's weights and configs; see `mmdit_model`."""

MMDIT_NAME = "emoji-mmdit"
"""The name of the embedded transformer."""

BUILT = {LARGER_NAME: LARGER_WEIGHTS, MMDIT_NAME: MMDIT_WEIGHTS}
"""The embedded models that are in no folder of diffusers' layout, by name: where their weights are."""
