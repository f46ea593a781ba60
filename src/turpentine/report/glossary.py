"""What the words of plots and sentences mean, for the foot of a page."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

TERMS: Mapping[str, tuple[str, str]] = {
    "DOWN1, MID, UP6": (
        r"\b(DOWN|UP)\d|\bMID\b",
        "cross-attention layers by their place: on the way down to the coarsest grid, at it, and up again, counted in "
        "the order in which they run",
    ),
    "TEXT1": (r"\bTEXT\d", "layers of the text encoder, counted from the prompt's side"),
    "H3": (r"\bH\d", "a head of an attention layer, counted from 0"),
    "q2:MID": (
        r"\b[qopr]([1-4]|[A-Z])",
        "an intervention: q severs the layer in that part of the steps, o everywhere else, p gives it the empty prompt "
        "in the prompt's place, r everywhere else",
    ),
    "IoU": (
        r"\bm?IoU\b|layout|overlap",
        "the area that two masks share, of what either covers; 1 is the same",
    ),
    "AUC": (
        r"\bAUC\b",
        "how often a pixel inside ranks above one outside; 0.5 is chance, and no threshold is in it",
    ),
    "silhouette": (
        r"[Ss]ilhouette",
        "how much nearer points are to their own group than to the next one, from -1 to 1; 0 is no groups at all",
    ),
    "fine detail": (r"fine detail", "the share of a picture's power at the finer half of its scales"),
    "latents": (r"latent", "the small grid of numbers z that the model denoises, before it is decoded to a picture"),
}
"""By the term as a reader meets it: how it is found in a text, and what it means."""


def glossary(texts: Iterable[str]) -> dict[str, str]:
    """Return the terms that texts use, with what they mean.

    Example:
        >>> list(glossary(["UP6 changes the layout most."]))
        ['DOWN1, MID, UP6', 'IoU']
    """
    whole = " ".join(texts)
    return {term: meaning for term, (pattern, meaning) in TERMS.items() if re.search(pattern, whole)}
