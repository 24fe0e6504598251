#!/usr/bin/env bash
# Runs one suite of benches/ in release mode.
set -euo pipefail
cd "$(dirname "$0")/.."

suites=$(basename -s .rs benches/src/bin/* | tr '\n' ' ')
name=${1:-}
if [ ! -f "benches/src/bin/$name.rs" ] && [ ! -f "benches/src/bin/$name/main.rs" ]; then
  echo "say which suite, e.g.:  make bench NAME=dataflow    (there are: $suites)" >&2
  exit 2
fi
scripts/setup-highs.sh
if [ "$name" = handlers ]; then scripts/fetch-models.sh receipts; fi
mkdir -p target/bench
exec cargo run --release -p eddyline-benches --bin "$name"
