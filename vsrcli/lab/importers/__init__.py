"""Import of published checkpoints: rebuild the network, export it, prove that nothing changed."""

from vsrcli.lab.importers.checkpoint import Imported, import_checkpoint

__all__ = ["Imported", "import_checkpoint"]
