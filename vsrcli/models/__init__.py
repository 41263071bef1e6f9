"""What a model is: a folder with a card (`model.toml`) and ONNX graphs."""

from __future__ import annotations

from vsrcli.models.find import (
    find_folder,
    find_model,
    list_models,
    model_folders,
    search_path,
)
from vsrcli.models.model import Graph, Model, Temporal

__all__ = [
    "Graph",
    "Model",
    "Temporal",
    "find_folder",
    "find_model",
    "list_models",
    "model_folders",
    "search_path",
]
