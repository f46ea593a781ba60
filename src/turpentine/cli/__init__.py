"""The command line: reads flags, calls the library, and shows progress. Importing it starts no torch."""

from turpentine.cli.app import main

__all__ = ["main"]
