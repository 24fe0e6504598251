#!/usr/bin/env bash
# Builds the browser's half of the page into web-ui/page/dist, where its sources have changed.
#   scripts/page.sh               where it cannot be built, that is an error
#   scripts/page.sh --or-without  where it cannot be built, one line says so
set -euo pipefail
cd "$(dirname "$0")/../web-ui/page"

cannot() {
  echo "the page is not built: $1" >&2
  if [ "$optional" = yes ]; then exit 0; else exit 1; fi
}
optional=no
if [ "${1:-}" = --or-without ]; then optional=yes; fi

if [ -f dist/index.html ]; then
  changed=$(find src public index.html package.json package-lock.json ./*.config.* -newer dist/index.html -print -quit)
  if [ -z "$changed" ]; then exit 0; fi
fi

command -v npm >/dev/null || cannot "install Node 20.19 or later (https://nodejs.org/en/download), then run:  make page"
node -e 'const [a, b] = process.versions.node.split("."); process.exit(a > 20 || (a == 20 && b >= 19) ? 0 : 1)' ||
  cannot "Node is $(node --version); install 20.19 or later (https://nodejs.org/en/download), then run:  make page"

installed=node_modules/.package-lock.json
if [ ! -f "$installed" ] || [ package-lock.json -nt "$installed" ]; then
  npm ci || cannot "npm ci failed; mend what it says above, then run:  make page"
  touch "$installed"
fi
npm run build || cannot "npm run build failed; mend what it says above, then run:  make page"
touch dist/index.html
