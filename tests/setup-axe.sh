#!/bin/sh
# Fetch axe-core, which checks pages for accessibility, once, outside the clone; print its script's
# path. It is under the MPL and no part of the project.
set -eu

VERSION=4.14.1
INTEGRITY=sha512-FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ==

folder="${XDG_CACHE_HOME:-$HOME/.cache}/tutelage/axe-core-$VERSION"
if [ ! -f "$folder/axe.min.js" ]; then
    mkdir -p "$folder"
    (cd "$folder" && npm pack --silent "axe-core@$VERSION" >/dev/null)
    found=$("${PYTHON:-python3}" -c 'import base64, hashlib, sys
print("sha512-" + base64.b64encode(hashlib.sha512(open(sys.argv[1], "rb").read()).digest()).decode())' \
        "$folder/axe-core-$VERSION.tgz")
    if [ "$found" != "$INTEGRITY" ]; then
        echo "axe-core $VERSION has another digest than expected: $found" >&2
        exit 1
    fi
    tar -xzf "$folder/axe-core-$VERSION.tgz" -C "$folder" --strip-components=1 package/axe.min.js
fi
echo "$folder/axe.min.js"
