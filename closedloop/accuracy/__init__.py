"""How accurate a method is: on real and matched EEG, beside its surrogate, published and tuned rivals beside it."""
