"""Shared by the methods that fine-tune: the training loop, the states it learns from, and seeded draws."""
