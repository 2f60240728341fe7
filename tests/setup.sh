#!/usr/bin/env bash
# Fetch what the tests run against: Apache Kafka (Maven), anvil and axe-core (npm), Chromium and
# Prometheus (apt).
# What cannot be had is said here in one line, and the tests that need it are skipped.
set -uo pipefail
cd "$(dirname "$0")"
cannot() { echo "chainwarden: tests without a real $1: it could not be fetched" >&2; }
bash ./fetch_kafka.sh || cannot "Kafka broker"
python3 ./fetch_anvil.py || cannot "anvil"
bash ./fetch_chromium.sh || cannot "chromium"
bash ./fetch_prometheus.sh || cannot "Prometheus"
python3 ./fetch_axe.py || cannot "axe-core"
