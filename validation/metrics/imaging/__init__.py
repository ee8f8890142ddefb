"""Image quality on torch tensors: errors, similarity, noise, spectra, resolution, detectability, local errors."""
