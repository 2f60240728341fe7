"""The performance figures, as ratios against named baselines (``make bench``)."""
