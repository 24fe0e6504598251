#!/usr/bin/env bash
# The first thing that a newcomer runs: account numbers with the page, or with --once the table, for which no page is built.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/setup.sh
case " $* " in
  *" --once "* | *" --help "*) ;;
  *) scripts/page.sh --or-without ;;
esac
exec cargo run -p eddyline-examples --bin account-numbers -- "$@"
