"""Where EEG comes from: recordings and simulations."""
