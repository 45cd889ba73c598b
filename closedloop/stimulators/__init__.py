"""Drivers of stimulators, and the table of them."""
