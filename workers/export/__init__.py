"""Files of a trained model, for other programs."""
