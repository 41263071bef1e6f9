"""Texts of `vsr help`."""
