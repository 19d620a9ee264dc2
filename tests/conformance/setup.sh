#!/bin/sh
# What `make conformance` needs beyond Python packages: npx, which fetches compatcanary.
set -eu

if command -v npx >/dev/null 2>&1; then
    exit 0
fi
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null 2>&1; then
    echo "No command npx: install Node.js (Debian: apt-get install nodejs npm)." >&2
    exit 1
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends nodejs npm >/dev/null
