#!/usr/bin/env bash
# Runs the examples' slices; each holds its result against the one beside it and fails where they differ.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo run -p eddyline-examples --bin account-numbers -- --once
