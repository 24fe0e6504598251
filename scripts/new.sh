#!/usr/bin/env bash
# Copies the template to a folder outside, as a package of its own that uses this checkout.
set -euo pipefail

checkout=$(cd "$(dirname "$0")/.." && pwd)
folder=${1:-}
refuse() {
  echo "$1" >&2
  exit 2
}
[ -n "$folder" ] || refuse "say where, e.g.:  make new NAME=../my-flow"
[ ! -e "$folder" ] || refuse "$folder is there already; give another NAME"
name=$(basename "$folder")
[[ $name =~ ^[a-z][a-z0-9_-]*$ ]] || refuse "\`$name\` cannot name a package; use a-z, 0-9, - and _, e.g. my-flow"
[[ ! $name =~ ^(core|std|alloc|test|eddyline|serde|tokio)$ ]] || refuse "\`$name\` is the name of a library; give another NAME"

mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
cd "$checkout/examples/template"
tar --exclude ./target --exclude ./named.csv -cf - . | tar -C "$folder" -xf -
cp "$checkout"/{Cargo.lock,rust-toolchain.toml,rustfmt.toml} "$folder/"
sed -i.bak -e "s|^name = .*|name = \"$name\"|" -e "s|\"../../operators\"|\"$checkout/operators\"|" "$folder/Cargo.toml"
rm "$folder/Cargo.toml.bak"
cat >>"$folder/Cargo.toml" <<'END'

# Models run in the dependencies: optimised even while you try things out.
[profile.dev]
debug = "line-tables-only"

[profile.dev.package."*"]
opt-level = 2
debug = false

# A workspace of its own, wherever it lies.
[workspace]
END

echo "$folder is there. Now:"
echo
echo "  cd $1"
echo "  cargo run                   # the page is on http://127.0.0.1:8080; Ctrl-C ends it"
echo
echo "Its first build takes minutes. To use what this checkout has built already:"
echo
echo "  CARGO_TARGET_DIR=$checkout/target cargo run"
