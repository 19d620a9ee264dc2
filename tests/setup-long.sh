#!/bin/sh
# What the long tests need beyond Python packages, installed where this may be done.
set -eu

sh "$(dirname "$0")/setup-axe.sh" >/dev/null ||
    echo "axe-core can't be fetched (npm is needed): the accessibility tests will be skipped." >&2

sh "$(dirname "$0")/setup-ray.sh" >/dev/null ||
    echo "Ray can't be installed (a package index is needed): its test will be skipped." >&2

missing=""
command -v chromium >/dev/null 2>&1 || missing="$missing chromium fonts-dejavu-core"
command -v promtool >/dev/null 2>&1 || missing="$missing prometheus"
command -v redis-server >/dev/null 2>&1 || missing="$missing redis-server"
ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || command -v initdb >/dev/null 2>&1 ||
    missing="$missing postgresql"
[ -n "$missing" ] || exit 0
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null 2>&1; then
    echo "Not found and not installable here:$missing. The long tests that need them will fail or" \
        "be skipped; install them to run all (Debian: apt-get install$missing)." >&2
    exit 0
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# A cluster of the system's own would only take memory: the tests start their own server.
mkdir -p /etc/postgresql-common
[ -e /etc/postgresql-common/createcluster.conf ] ||
    echo "create_main_cluster = false" >/etc/postgresql-common/createcluster.conf
# shellcheck disable=SC2086 # several packages
apt-get install -y -qq --no-install-recommends $missing >/dev/null
