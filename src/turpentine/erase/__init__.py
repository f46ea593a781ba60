"""Ways to erase a concept, one file a method; what methods that train weights share is in `tuning`."""

from turpentine.core.lazy import plugin_exports

__getattr__, __dir__ = plugin_exports(__name__, "erase")
