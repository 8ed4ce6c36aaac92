"""One fault a file, or a small group of kin. Each rule takes a `Reading` and gives a finding or None."""
