"""From a definition to a trained network: data, networks, optimizers, the loop, statistics."""
