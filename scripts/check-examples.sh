#!/usr/bin/env bash
# Runs the examples' slices; each holds its result against the one beside it and fails where they differ.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo run -p eddyline-examples --bin account-numbers -- --once
cargo run -p eddyline-examples --bin expenses -- --once | sed -n 1,4p | diff examples/expenses/expected.txt -

# Receipts: each run holds its own promises, and a detector that is cut in two over two devices reads what the whole reads.
scripts/fetch-models.sh receipts
for plan in cpu plan; do
  cargo run -p eddyline-examples --bin receipts -- --once --receipts 8 --seeds 1 --plan examples/receipts/$plan.toml \
    | tee target/receipts-$plan.txt
done
# What follows are calls and times.
diff <(sed '/^Calls/,$d' target/receipts-cpu.txt) <(sed '/^Calls/,$d' target/receipts-plan.txt)

# Without a handler that corrects names no model is called again, and names differ and nothing else.
cargo run -p eddyline-examples --bin receipts -- --without spelling --receipts 8 | tee target/receipts-what-if.txt
awk '/^without spelling +0 items/ { remembered = 1 } / → / { cells++ } / → / && !/\.name "/ { other = 1 }
  END { exit !(remembered && cells && !other) }' target/receipts-what-if.txt
