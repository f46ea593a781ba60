"""The engine: what is to be drawn and judged, planned, leased, done by workers, and kept on disk."""
