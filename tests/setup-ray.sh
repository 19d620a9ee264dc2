#!/bin/sh
# Build the environment with Ray, once per set of pins, and print its path. It lies outside the
# clone, so that a fresh clone finds it again; what tutelage needs has the lock's versions in it.
set -eu
cd "$(dirname "$0")/.."

RAY=ray==2.60.0

digest=$(cat requirements-serve.lock "tests/setup-ray.sh" | "${PYTHON:-python3}" -c \
    'import hashlib, sys; print(hashlib.sha256(sys.stdin.buffer.read()).hexdigest()[:16])')
folder="${XDG_CACHE_HOME:-$HOME/.cache}/tutelage/ray-$digest"

if [ ! -f "$folder/stamp" ]; then
    rm -rf "$folder"
    "${PYTHON:-python3}" -m venv "$folder"
    "$folder/bin/pip" install --quiet --require-hashes -r requirements-serve.lock >&2
    sed -n 's/^\([A-Za-z0-9._-]*==[^ ]*\).*/\1/p' requirements.lock > "$folder/constraints.txt"
    "$folder/bin/pip" install --quiet -c "$folder/constraints.txt" "$RAY" >&2
    touch "$folder/stamp"
fi
echo "$folder"
