#!/usr/bin/env bash
# Runs the examples' slices; each holds its result against the one beside it and fails where they differ.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo run -p eddyline-examples --bin account-numbers -- --once
cargo run -p eddyline-examples --bin expenses -- --once | sed -n 1,4p | diff examples/expenses/expected.txt -
