//! `--help` of every command and the examples of `OUTPUT.md` are what the program prints, word for word.

/// Set `TRYCMD=overwrite` to write what the program prints now, and read the difference before it is committed.
#[test]
fn help_and_examples_are_what_is_printed() {
    trycmd::TestCases::new()
        .case("tests/offline/help/*.trycmd")
        .case("OUTPUT.md")
        // The width of a terminal must not show in it.
        .env("COLUMNS", "110");
}
