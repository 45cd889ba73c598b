"""Filters, spectra, references and statistics: what is done to signals."""
