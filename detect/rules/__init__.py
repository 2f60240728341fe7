"""One file per typology; each is a ``Rule``."""
