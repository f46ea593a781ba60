"""Every method that amplifies, under its class's name: `turpentine.amplify.CADAmplify`."""

from turpentine.core.lazy import plugin_exports

__getattr__, __dir__ = plugin_exports(__name__, "amplify")
