"""What the tests break things with: lying nodes, misbehaving receivers, kills, hostile text."""
