#!/usr/bin/env bash
# Licences, advisories and sources of all dependencies, as deny.toml says.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! cargo deny --version >/dev/null 2>&1; then
  echo "cargo-deny is missing; installing it (a few minutes, once)" >&2
  cargo install --locked cargo-deny
fi
cargo deny check
