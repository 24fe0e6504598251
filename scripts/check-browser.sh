#!/usr/bin/env bash
# Opens the page in Chromium while account-numbers runs behind it.
set -euo pipefail
cd "$(dirname "$0")/.."

chromium=${EDDYLINE_CHROMIUM:-$(command -v chromium || command -v chromium-browser || command -v google-chrome || true)}
if [ -z "$chromium" ]; then
  echo "no Chromium was found; install it (apt-get install chromium) or say where it is in EDDYLINE_CHROMIUM" >&2
  exit 1
fi
scripts/page.sh
cargo build -p eddyline-examples --bin account-numbers

log=$(mktemp)
"${CARGO_TARGET_DIR:-target}/debug/account-numbers" --listen 127.0.0.1:0 >"$log" 2>&1 &
running=$!
trap 'kill $running 2>/dev/null || true; wait $running 2>/dev/null || true; rm -f "$log"' EXIT

fail() {
  echo "$1; it said:" >&2
  cat "$log" >&2
  exit 1
}
url=
for _ in $(seq 300); do
  url=$(sed -n 's/^page: \(http:.*\)$/\1/p' "$log")
  if [ -n "$url" ] && node -e 'fetch(process.argv[1]).then(r => process.exit(r.ok ? 0 : 1), () => process.exit(1))' "$url/api/graph"; then
    break
  fi
  kill -0 $running 2>/dev/null || fail "account-numbers ended before its page was there"
  url=
  sleep 0.2
done
[ -n "$url" ] || fail "account-numbers opened no page within a minute"

cd web-ui/page
EDDYLINE_URL=$url EDDYLINE_CHROMIUM=$chromium npm run test:browser
