"""Image quality metrics on torch tensors: errors, similarity, noise, spectra, resolution, detectability, local errors."""
