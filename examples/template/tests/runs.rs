//! Runs the program as its user does, without the page, in a folder of its own.

use std::{fs, path::Path, process::Command};

#[test]
fn every_row_is_named_or_put_aside_with_a_reason() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("runs");
    fs::create_dir_all(&folder).unwrap();
    for file in ["flowers.csv", "iris.onnx"] {
        fs::copy(here.join(file), folder.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
    }

    let program = env!(concat!("CARGO_BIN_EXE_", env!("CARGO_PKG_NAME")));
    let ran = Command::new(program).arg("--no-page").current_dir(&folder).output().unwrap();
    let said = String::from_utf8(ran.stdout).unwrap();
    assert!(ran.status.success(), "{said}{}", String::from_utf8_lossy(&ran.stderr));

    assert!(said.contains("balance ✓ 150 roots"), "{said}");
    assert!(said.contains("1 × unreadable at flowers: column 4 `petal_width`: invalid float literal (first: flowers.csv line 32)"), "{said}");
    assert!(said.contains("1 × rejected at plausible: no iris has so long a petal"), "{said}");
    assert!(said.contains("12 × rejected at plausible: less than 60 % certain"), "{said}");
    assert!(said.contains("135 of 136 flowers in named.csv are what the botanist says"), "{said}");

    let named = fs::read_to_string(folder.join("named.csv")).unwrap();
    assert_eq!(named.lines().count(), 1 + 136);
}
