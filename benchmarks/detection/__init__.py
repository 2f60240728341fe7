"""What is caught, how early, at what cost, and despite whom: ``make bench-detection``."""
