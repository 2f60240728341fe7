#!/bin/sh
# Puts Prometheus, promtool, Alertmanager and amtool, which the rules and boards are tested with,
# into .cache/prometheus/: Debian's or Ubuntu's packages, unpacked and not installed.
#
# Needs apt-get and dpkg; only root can bring old package lists up to date. Run it as often as you
# like: once they are there it does nothing and prints nothing. tests/prometheus.py runs them.
#
#   tests/fetch_prometheus.sh            fetch, unless fetched
#   tests/fetch_prometheus.sh --folder   print where the commands are, fetch nothing
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
folder="$root/.cache/prometheus"

if [ "${1-}" = "--folder" ]; then
    printf '%s\n' "$folder/usr/bin"
    exit 0
fi
# The mark is written last: a fetch that was interrupted starts again.
if [ -f "$folder/complete" ]; then
    exit 0
fi
if ! command -v apt-get >/dev/null 2>&1 || ! command -v dpkg >/dev/null 2>&1; then
    echo "fetch_prometheus: there is no apt-get and dpkg to fetch Debian's packages with" >&2
    exit 1
fi

rm -rf "$folder"
mkdir -p "$folder/packages"
log="$folder/apt.log"
cd "$folder/packages"
download() { apt-get download prometheus prometheus-alertmanager >>"$log" 2>&1 </dev/null; }
# The package lists of a fresh machine are empty or old.
download || { [ "$(id -u)" -eq 0 ] && apt-get update >>"$log" 2>&1 </dev/null && download; } || {
    echo "fetch_prometheus: apt-get could not download the packages:" >&2
    tail -n 5 "$log" >&2
    exit 1
}
for package in ./*.deb; do
    dpkg -x "$package" "$folder"
done
rm -rf "$folder/packages"
"$folder/usr/bin/prometheus" --version >/dev/null 2>&1 || {
    echo "fetch_prometheus: the package's prometheus does not run here" >&2
    exit 1
}
touch "$folder/complete"
