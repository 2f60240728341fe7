"""From batches of blocks to features, scores and alerts."""
