"""Kinds of trigger lines, each in a module of its own."""
