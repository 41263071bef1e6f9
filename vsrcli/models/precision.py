"""Precisions of graphs, and those that an engine makes of them."""

from __future__ import annotations


def graph_precision(wanted: str) -> str:
    """The precision of the graph that is loaded: fp32, which engines run in bf16 too, or int8 …"""
    return "fp32" if wanted in ("auto", "bf16") else wanted
