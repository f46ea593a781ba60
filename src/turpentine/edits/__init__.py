"""Changes to a model as values: put on, taken off, scaled, stacked, saved and exported."""

from turpentine.edits.edit import Edit
from turpentine.edits.export import save_pipeline
from turpentine.edits.provenance import Provenance
from turpentine.edits.stack import EditStack, stack_of

__all__ = ["Edit", "EditStack", "Provenance", "save_pipeline", "stack_of"]
