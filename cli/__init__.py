"""`descent`, the command line: a client over HTTP. Knows neither Flask nor torch nor the rest of the house."""
