#!/usr/bin/env bash
# Makes sure that the tools of a build are there: installs what it may, and prints the command for the rest.
set -euo pipefail

missing=()
command -v cc >/dev/null || missing+=(gcc libc6-dev)
if [ ${#missing[@]} -gt 0 ]; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    apt-get update -q && apt-get install -y -q --no-install-recommends "${missing[@]}"
  else
    echo "a C compiler is missing; install one and try again, e.g.:  sudo apt-get install -y ${missing[*]}" >&2
    exit 1
  fi
fi

if ! command -v cargo >/dev/null; then
  echo "Rust is missing; install it and try again:  curl https://sh.rustup.rs -sSf | sh -s -- -y && . ~/.cargo/env" >&2
  exit 1
fi
# With rustup this installs the toolchain that rust-toolchain.toml names.
wanted=$(sed -n 's/^channel = "\(.*\)"/\1/p' "$(dirname "$0")/../rust-toolchain.toml")
found=$(cargo --version | cut -d ' ' -f 2)
if [ "$(printf '%s\n' "$wanted" "$found" | sort -V | head -n 1)" != "$wanted" ]; then
  echo "cargo is $found, but $wanted or later is needed; install it and try again:  rustup toolchain install $wanted" >&2
  exit 1
fi
