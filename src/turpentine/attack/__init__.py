"""Every attack under its class's name; Turpentine has none of its own yet, and other packages may."""

from turpentine.core.lazy import plugin_exports

__getattr__, __dir__ = plugin_exports(__name__, "attack")
