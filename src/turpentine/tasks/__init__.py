"""What is asked of a model: prompts, what they should show, and how they are grouped."""
