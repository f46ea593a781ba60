"""The command line: it reads flags, calls the library, and draws progress. Importing it starts no torch."""

from turpentine.cli.app import main

__all__ = ["main"]
