"""Agreement of segmentations: overlap, surfaces and volume; a missed structure is the worst value, never left out."""
