"""Audits: is a concept really gone from an edited model, or only hard to reach? See `verdict` for the rules."""
