"""The boards, rules and provisioning that are shipped."""
