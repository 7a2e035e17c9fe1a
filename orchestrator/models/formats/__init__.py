"""Readers of the tensor tables of artefacts."""
