"""Pipelines and devices: what a lab writes in YAML, checked to the line and column."""
