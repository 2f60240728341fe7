"""The compiled loops, by topic: hashed tables, features, the pass over a batch, trees."""
