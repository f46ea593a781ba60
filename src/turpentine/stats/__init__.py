"""Statistics: intervals, correlations, distances of sets."""
