"""Shared by the closed-form methods: the linear solver, UCE's objective, and states of the text encoder."""
