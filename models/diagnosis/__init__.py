"""Numbers in, findings out: whether a network learned, why not, and what would help. Pure; no torch, no database."""
