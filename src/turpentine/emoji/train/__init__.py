"""How the shipped weights were made: `python -m turpentine.emoji train`."""
