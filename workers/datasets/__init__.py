"""The built-in data sets: generated ones, and bundled ones that are ingested once into arrays."""
