#!/bin/sh
# Compiles a module into a host: build.sh MODULE PROGRAM
set -eu
here=$(dirname "$0")
work="$2.files"
mkdir -p "$work"
wasm2c --module-name=balance "$1" -o "$work/balance.c"
${CC:-cc} -O1 -w -I "$work" "$here/host.c" "$work/balance.c" -lwasm-rt-impl -lm -o "$2"
