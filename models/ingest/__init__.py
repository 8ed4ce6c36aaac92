"""Uploaded files, read once, in a process of its own, into arrays that every runner maps."""
