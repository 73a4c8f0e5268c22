#!/usr/bin/env bash
# Installs a headless Chromium into $TESTBED/chromium: the browser, the libraries and the font that it
# needs, from one npm package that carries them packed. Node.js (the system's, or the testbed's own
# that came with mongosh) only unpacks. Called by the Makefile.
set -euo pipefail

export PATH="$PATH:$TESTBED/node/bin"
rm -rf "$TESTBED/chromium"
mkdir -p "$TESTBED/chromium/npm"
cd "$TESTBED/chromium"
# Its JavaScript is for other places and wants a newer Node.js; only its packed files are used.
npm install --no-audit --no-fund --no-progress --loglevel=error --ignore-scripts --omit=optional \
    --prefix npm "@sparticuz/chromium@$CHROMIUM" </dev/null

packed=npm/node_modules/@sparticuz/chromium/bin
unpack() {
    node -e 'const zlib = require("node:zlib"), fs = require("node:fs");
        fs.writeFileSync(process.argv[2], zlib.brotliDecompressSync(fs.readFileSync(process.argv[1])))' "$1" "$2"
}
unpack "$packed/chromium.br" chromium
chmod +x chromium
for part in al2023 fonts; do
    unpack "$packed/$part.tar.br" "$part.tar"
    tar -xf "$part.tar"
    rm "$part.tar"
done
rm -rf npm
LD_LIBRARY_PATH="$PWD/lib" ldd chromium | grep 'not found' && exit 1
[ -x chromium ] && [ -f fonts.conf ] && [ -d fonts ]
