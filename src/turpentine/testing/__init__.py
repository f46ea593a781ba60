"""For tests: tiny models of each family, and the contract that every editing method keeps; needs pytest."""
