"""What the closed-form methods share: the linear solver, the objective of UCE, states of the text encoder."""
