//! The published objectives, reproduced: groups G1 and G4, whose figures lie in `golden/`, and all 24 where they are at hand.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]
#![cfg(feature = "highs")]

use std::path::Path;

use eddyline_planner::Highs;

mod published;

#[test]
fn the_published_objectives_of_two_groups_are_met_and_proven() {
    let cases = published::cases(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden"));
    assert_eq!(cases.len(), 8);
    cases.iter().for_each(|case| published::agrees(case, &Highs));
}

#[test]
fn all_published_objectives_are_met_and_proven() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/profiles");
    if std::env::var_os("EDDYLINE_SHARED").is_some_and(|value| value == "skip") {
        return;
    }
    let cases = published::cases(&folder);
    assert_eq!(cases.len(), 24);
    cases.iter().for_each(|case| published::agrees(case, &Highs));
}
