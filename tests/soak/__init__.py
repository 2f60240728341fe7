"""Hours of simulated chain under random faults of all kinds at once, and an equality check."""
