"""The embedded world: sprites, captions, the recipe of the small model, its weights and its judge."""
