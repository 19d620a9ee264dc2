#!/bin/sh
# Build the environment that checks the Helm chart, once per set of pins, and print its path: Helm's
# own linter and renderer as a library, and the schemas of Kubernetes. It lies outside the clone.
set -eu
cd "$(dirname "$0")/.."

PINS="helm-python-sdk==0.2.2 kubernetes-validate==1.37.0"

name=$(echo "$PINS" | tr -c 'a-z0-9.\n' '-')
folder="${XDG_CACHE_HOME:-$HOME/.cache}/tutelage/$name"

if [ ! -f "$folder/stamp" ]; then
    rm -rf "$folder"
    "${PYTHON:-python3}" -m venv "$folder"
    # shellcheck disable=SC2086 # several packages
    "$folder/bin/pip" install --quiet $PINS >&2
    touch "$folder/stamp"
fi
echo "$folder"
