//! The command as a person runs it.

use std::process::Command;

use temp_dir::TempDir;

/// What stands for files that are always there.
const FILES: [(&str, &str); 2] = [
    ("PROFILES", concat!(env!("CARGO_MANIFEST_DIR"), "/../planner/tests/golden")),
    ("MODEL", concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/account-numbers/heavy.onnx")),
];

/// Runs the command in a folder; gives whether it went well, and all that it said.
pub fn eddyline(folder: &TempDir, args: &str) -> (bool, String) {
    let full = |arg: &str| FILES.iter().fold(arg.to_owned(), |arg, (name, path)| arg.replace(name, path));
    let args = args.split_whitespace().map(full);
    let output =
        Command::new(env!("CARGO_BIN_EXE_eddyline")).args(args).current_dir(folder.path()).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(said).unwrap())
}
