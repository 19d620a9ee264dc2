#!/bin/sh
# What the long tests need beyond Python packages: a Chromium. Installed where this may be done.
set -eu

if command -v chromium >/dev/null 2>&1; then
    exit 0
fi
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null 2>&1; then
    echo "No command chromium: the browser tests will be skipped. Install it to run them" \
        "(Debian: apt-get install chromium)." >&2
    exit 0
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core >/dev/null
