#!/bin/sh
# Installs Chromium, the browser that the tests open pages in, from Debian's or Ubuntu's packages.
#
# Only where apt-get is there and one is root: a machine of one's own is left as it is. Run it as
# often as you like: once there is a chromium it does nothing and prints nothing.
set -eu

if command -v chromium >/dev/null 2>&1; then
    exit 0
fi
if ! command -v apt-get >/dev/null 2>&1 || [ "$(id -u)" -ne 0 ]; then
    echo "fetch_chromium: chromium is not installed, and only root with apt-get can" >&2
    exit 1
fi
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# The package lists of a fresh machine are empty or old.
{ apt-get update && apt-get install --yes --no-install-recommends chromium fonts-dejavu-core; } \
    >"$log" 2>&1 </dev/null || {
    echo "fetch_chromium: apt-get could not install chromium:" >&2
    tail -n 5 "$log" >&2
    exit 1
}
