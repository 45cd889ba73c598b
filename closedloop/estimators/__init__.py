"""Methods that predict the phase of a rhythm: design in SciPy, step compiled."""
