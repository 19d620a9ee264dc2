#!/bin/sh
# Build the environment of schemathesis, once per version, outside the clone; print its folder. It
# has dozens of packages of its own, which the project's lock is spared.
set -eu
VERSION=4.32.5
folder="${XDG_CACHE_HOME:-$HOME/.cache}/tutelage/schemathesis-$VERSION"
if [ ! -f "$folder/stamp" ]; then
    rm -rf "$folder"
    "${PYTHON:-python3}" -m venv "$folder"
    "$folder/bin/pip" install --quiet --disable-pip-version-check "schemathesis==$VERSION" >&2
    touch "$folder/stamp"
fi
echo "$folder"
