#!/usr/bin/env bash
# What a change must pass. With cargo-nextest where it is installed, which is faster and ends tests that hang.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/setup.sh
if cargo nextest --version >/dev/null 2>&1; then
  cargo nextest run
  cargo test --doc
else
  cargo test
fi
