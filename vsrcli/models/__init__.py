"""What a model is: a folder with a card (`model.toml`) and ONNX graphs."""

from __future__ import annotations

from vsrcli.models.find import (
    check_id,
    find_folder,
    find_model,
    is_id,
    list_models,
    model_folders,
    search_path,
)
from vsrcli.models.model import Graph, Model, Temporal
from vsrcli.models.precision import graph_precision
from vsrcli.models.tuning import UNTUNED, Tuning

__all__ = [
    "UNTUNED",
    "Graph",
    "Model",
    "Temporal",
    "Tuning",
    "check_id",
    "find_folder",
    "find_model",
    "graph_precision",
    "is_id",
    "list_models",
    "model_folders",
    "search_path",
]
