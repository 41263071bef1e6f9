"""Precisions of graphs, and those that an engine makes of them."""

from __future__ import annotations


def graph_precision(wanted: str) -> str:
    """The precision of the graph that is loaded. Of fp32 engines make bf16 and fp16."""
    return "fp32" if wanted in ("auto", "bf16", "fp16") else wanted
