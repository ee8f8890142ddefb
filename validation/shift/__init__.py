"""Is the new data different, and is the difference smaller than the margin."""
