"""Sets of generated images against sets of real ones: fidelity, diversity, copying, coverage of conditions."""
