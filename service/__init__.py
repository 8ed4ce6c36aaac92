"""The door: HTTP in, HTTP out. The only room that knows Flask; it never imports torch."""
