"""What a POST may say: network, data, training, job. Strict, and every field documented."""
