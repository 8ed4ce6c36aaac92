"""One module for each command. What takes long to import is imported where it is used."""
