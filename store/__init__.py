"""What leaves the process: the ledger, the lake, snapshots, webhooks."""
