#!/usr/bin/env bash
# Fetch what the tests run against: Apache Kafka (Maven) and anvil (npm). What cannot be had is
# said here in one line, and the tests that need it are skipped.
set -uo pipefail
cd "$(dirname "$0")"
for part in kafka anvil; do
  bash "./fetch_$part.sh" || echo "chainwarden: tests without a real $part: it could not be fetched" >&2
done
