"""From a node, a file or a simulator to verified, decoded blocks on the bus."""
