#!/usr/bin/env bash
# Opens the page in Chromium while account-numbers runs behind it, and where people are asked or a token is, expenses.
set -euo pipefail
cd "$(dirname "$0")/.."

chromium=${EDDYLINE_CHROMIUM:-$(command -v chromium || command -v chromium-browser || command -v google-chrome || true)}
if [ -z "$chromium" ]; then
  echo "no Chromium was found; install it (apt-get install chromium) or say where it is in EDDYLINE_CHROMIUM" >&2
  exit 1
fi
scripts/page.sh
cargo build -p eddyline-examples --bins

logs=$(mktemp -d)
running=()
trap 'kill "${running[@]}" 2>/dev/null || true; wait "${running[@]}" 2>/dev/null || true; rm -rf "$logs"' EXIT

fail() {
  echo "$1; it said:" >&2
  cat "$2" >&2
  exit 1
}
# Starts an example, and puts the address of its page into `url`.
start() {
  local log pid
  log=$(mktemp -p "$logs" "$1.XXX")
  "${CARGO_TARGET_DIR:-target}/debug/$1" --listen 127.0.0.1:0 >"$log" 2>&1 &
  pid=$!
  running+=($pid)
  for _ in $(seq 300); do
    url=$(sed -n 's/^page: \(http:.*\)$/\1/p' "$log")
    if [ -n "$url" ] && node -e 'fetch(process.argv[1]).then(r => process.exit(r.ok ? 0 : 1), () => process.exit(1))' "$url/api/graph"; then
      return
    fi
    kill -0 $pid 2>/dev/null || fail "$1 ended before its page was there" "$log"
    sleep 0.2
  done
  fail "$1 opened no page within a minute" "$log"
}
start expenses
people=$url
EDDYLINE_TOKEN=a-river-7 start expenses
guarded=$url
start account-numbers

cd web-ui/page
EDDYLINE_URL=$url EDDYLINE_PEOPLE_URL=$people EDDYLINE_TOKEN_URL=$guarded EDDYLINE_CHROMIUM=$chromium npm run test:browser
