"""The engine of a bench: a plan of what to draw and judge, workers that do it under leases, and results on disk."""
