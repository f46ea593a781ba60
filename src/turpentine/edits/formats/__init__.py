"""Edits in the file formats of others: LoRAs, single files, pipeline folders, published edits."""
