//! Makes sure that the folder of the built page exists, so that the server compiles before the page was ever built.

use std::{fs, path::Path};

fn main() {
    let dist = Path::new("page/dist");
    println!("cargo::rerun-if-changed=page/dist");
    if let Err(error) = fs::create_dir_all(dist) {
        println!(
            "cargo::error=cannot create web-ui/page/dist: {error}; create it by hand or run `make page`"
        );
    }
}
