#!/usr/bin/env bash
# Makes sure that HiGHS can be compiled: CMake, a C++ compiler and libclang. Only the planner's solver, the command and the
# benchmarks need it.
set -euo pipefail

missing=()
command -v cmake >/dev/null || missing+=(cmake)
command -v c++ >/dev/null || missing+=(g++)
if [ -z "${LIBCLANG_PATH:-}" ] && ! compgen -G "/usr/lib/llvm*/lib/libclang*" >/dev/null && ! compgen -G "/usr/lib*/libclang*" >/dev/null \
  && ! compgen -G "/usr/lib/*/libclang*" >/dev/null; then
  missing+=(libclang-dev)
fi
[ ${#missing[@]} -eq 0 ] && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}"
else
  echo "HiGHS needs more to be compiled; install it and try again, e.g.:  sudo apt-get install -y ${missing[*]}" >&2
  exit 1
fi
