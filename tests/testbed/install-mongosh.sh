#!/usr/bin/env bash
# Installs mongosh into $TESTBED/mongosh, with the system's Node.js when it is 18 or newer, else with
# the one from the wheel $NODEJS. Called by the Makefile.
set -euo pipefail

usable() {
    command -v node >/dev/null && command -v npm >/dev/null &&
        [ "$(node -p 'parseInt(process.versions.node)')" -ge 18 ]
}

if ! usable; then
    $PIP_INTO "$TESTBED/node" "$NODEJS"
    wheel=$(dirname "$(find "$TESTBED/node" -path '*/bin/node' -print -quit)")
    npm_cli=$(find "$TESTBED/node" -path '*/node_modules/npm/bin/npm-cli.js' -print -quit)
    mkdir -p "$TESTBED/node/bin"
    [ "$wheel" = "$TESTBED/node/bin" ] || ln -sf "$wheel/node" "$TESTBED/node/bin/node"
    printf '#!/bin/sh\nexec "%s" "%s" "$@"\n' "$TESTBED/node/bin/node" "$npm_cli" \
        >"$TESTBED/node/bin/npm"
    chmod +x "$wheel/node" "$TESTBED/node/bin/npm"
    export PATH="$TESTBED/node/bin:$PATH"
fi

mkdir -p "$TESTBED/mongosh"
cd "$TESTBED/mongosh"
npm install --no-audit --no-fund --no-progress --loglevel=error --prefix . "mongosh@$MONGOSH" </dev/null
node_modules/.bin/mongosh --version >/dev/null
