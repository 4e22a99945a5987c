//! Tests that `--help` of every command and the examples of `OUTPUT.md` match the program's output word for word.

use std::path::Path;

use crate::support::run;

/// Set `TRYCMD=overwrite` to record the current output, and read the difference before committing it.
#[test]
fn help_and_examples_are_what_is_printed() {
    trycmd::TestCases::new()
        .case("tests/offline/help/*.trycmd")
        .case("OUTPUT.md")
        // The help must not depend on the width of a terminal.
        .env("COLUMNS", "110");
}

#[test]
fn the_help_of_every_command_is_held() {
    let help = run(Path::new("."), &["--help"]).exits(0).stdout;
    let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    // Command names are indented by two spaces; a deeper indent continues a description.
    let names = commands.filter_map(|line| line.strip_prefix("  ").filter(|line| !line.starts_with(' ')));
    let names: Vec<&str> = names.filter_map(|line| line.split(' ').next()).filter(|name| *name != "help").collect();
    assert!(names.len() > 10, "{help}");
    for name in names {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/offline/help/{name}.trycmd"));
        assert!(file.is_file(), "write {} with `faultline {name} --help` in it", file.display());
    }
}
