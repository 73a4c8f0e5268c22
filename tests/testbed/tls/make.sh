#!/usr/bin/env bash
# Makes the certificates beside it anew; they are kept, so that tests need no openssl. Valid for a
# hundred years, but for the one that has expired. The keys protect nothing.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

key() { openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$work/$1.key" 2>/dev/null; }

# authority NAME TEXT: a certificate authority of its own.
authority() {
  key "$1"
  openssl req -new -x509 -key "$work/$1.key" -out "$1.pem" -days 36500 -subj "/O=Backstay tests/CN=$2" \
    -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign
}

# signed NAME SUBJECT ALTERNATIVE_NAMES BEGIN END: a certificate with its key in one file, as mongod
# wants it.
signed() {
  key "$1"
  : >"$work/index"
  openssl rand -hex 8 >"$work/serial"
  cat >"$work/ca.cnf" <<CONFIG
[ca]
default_ca = own
[own]
database = $work/index
serial = $work/serial
new_certs_dir = $work
default_md = sha256
policy = any
unique_subject = no
[any]
organizationName = optional
organizationalUnitName = optional
commonName = supplied
[ext]
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = serverAuth,clientAuth
subjectAltName = $3
CONFIG
  openssl req -new -key "$work/$1.key" -out "$work/$1.csr" -subj "$2"
  openssl ca -batch -notext -config "$work/ca.cnf" -extensions ext -cert authority.pem \
    -keyfile "$work/authority.key" -in "$work/$1.csr" -out "$work/$1.crt" -startdate "$4" -enddate "$5" \
    2>/dev/null
  cat "$work/$1.key" "$work/$1.crt" >"$1.pem"
}

from=20200101000000Z to=21200101000000Z
authority authority "Authority of the tests"
authority stranger "Another authority"
signed node "/O=Backstay tests/OU=nodes/CN=node" IP:127.0.0.1,DNS:localhost "$from" "$to"
signed elsewhere "/O=Backstay tests/OU=nodes/CN=elsewhere" DNS:elsewhere.example.net "$from" "$to"
signed expired "/O=Backstay tests/OU=nodes/CN=expired" IP:127.0.0.1,DNS:localhost "$from" 20210101000000Z
signed agent "/O=Backstay tests/OU=agents/CN=agent" DNS:agent.example.net "$from" "$to"
