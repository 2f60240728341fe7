"""One module per command of ``chainwarden``."""
