"""Loading a model from a folder, a single file, a hub or memory."""
