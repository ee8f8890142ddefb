"""The virtual CT scanner and the virtual patients of this demonstration: everything here is simulated."""
