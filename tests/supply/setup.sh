#!/bin/sh
# Build the environment of pip-audit, once per version, outside the clone; print its folder.
set -eu
VERSION=2.10.1
folder="${XDG_CACHE_HOME:-$HOME/.cache}/tutelage/pip-audit-$VERSION"
if [ ! -f "$folder/stamp" ]; then
    rm -rf "$folder"
    "${PYTHON:-python3}" -m venv "$folder"
    "$folder/bin/pip" install --quiet --disable-pip-version-check "pip-audit==$VERSION" >&2
    touch "$folder/stamp"
fi
echo "$folder"
