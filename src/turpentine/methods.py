"""Every method under its class's name: `turpentine.methods.ESD`. Only the module of one that is used is imported."""

from turpentine.core.lazy import plugin_exports
from turpentine.core.plugins import METHODS

__getattr__, __dir__ = plugin_exports(__name__, METHODS)
