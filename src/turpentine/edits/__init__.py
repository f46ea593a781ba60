"""Changes to a model as values that are put on, taken off, scaled, stacked, saved and exported."""

from typing import TYPE_CHECKING

from turpentine.core.lazy import lazy_exports

if TYPE_CHECKING:
    from turpentine.edits.edit import Edit, EditStack, stack_of
    from turpentine.edits.files import Change, load_change, read_edit
    from turpentine.edits.formats.changed_weights import save_changed_weights
    from turpentine.edits.formats.foreign import import_edit
    from turpentine.edits.formats.lora import LoRA
    from turpentine.edits.formats.single_file import save_single_file
    from turpentine.edits.guidance_change import GuidanceChange, guidances_of
    from turpentine.edits.provenance import Provenance
    from turpentine.edits.zeroed import Zeroed

__all__ = [
    "Change",
    "Edit",
    "EditStack",
    "GuidanceChange",
    "LoRA",
    "Provenance",
    "Zeroed",
    "guidances_of",
    "import_edit",
    "load_change",
    "read_edit",
    "save_changed_weights",
    "save_single_file",
    "stack_of",
]

__getattr__, __dir__ = lazy_exports(__name__)
