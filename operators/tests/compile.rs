//! The compiler's answers to the mistakes that an author makes: short, kind, and pinned.

#[test]
fn the_wrong_program_gets_a_kind_answer() {
    trybuild::TestCases::new().compile_fail("tests/compile/*.rs");
}
