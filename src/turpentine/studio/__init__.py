"""The interactive page: one prompt and seed seen original, edited and oracle, beside what explains, erases and attacks.

`Session` has all that the page does and needs no web server; `turpentine.studio.server` puts it on the loopback.
"""

from turpentine.studio.session import Session

__all__ = ["Session"]
