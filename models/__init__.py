"""The nouns both sides agree on. Knows neither Flask nor torch; importing it is cheap."""
