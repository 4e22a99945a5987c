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

/// The names of all commands, and the short ones.
fn names() -> (Vec<String>, Vec<String>) {
    let help = run(Path::new("."), &["--help"]).exits(0).stdout;
    let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let commands: Vec<&str> = commands.collect();
    // Command names are indented by two spaces; a deeper indent continues a description.
    let names = commands.iter().filter_map(|line| line.strip_prefix("  ").filter(|line| !line.starts_with(' ')));
    let names = names.filter_map(|line| line.split(' ').next()).filter(|name| *name != "help");
    let names: Vec<String> = names.map(str::to_owned).collect();
    assert!(names.len() > 10, "{help}");
    let short = commands.iter().filter_map(|line| line.split_once("[alias: ")?.1.split_once(']'));
    (names, short.map(|(name, _)| name.to_owned()).collect())
}

#[test]
fn the_document_of_the_commands_names_each_and_no_option_that_none_has() {
    let document = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/commands.md")).unwrap();
    let (names, short) = names();
    assert!(!short.is_empty());
    for name in names.iter().chain(&short) {
        let forms = [format!("`{name}`"), format!("`faultline {name}`"), format!("`faultline {name} ")];
        assert!(forms.iter().any(|form| document.contains(form)), "docs/commands.md does not tell what `{name}` does");
    }
    let help: String = names.iter().map(|name| run(Path::new("."), &[name, "--help"]).exits(0).stdout).collect();
    let words = document.split(|c: char| !(c.is_ascii_lowercase() || c == '-')).filter(|word| word.starts_with("--"));
    // Those of cosign and kubectl stand in their own commands' lines.
    let others = ["--insecure-ignore-tlog", "--prefix", "--tail"];
    for option in words.filter(|word| word.len() > 3 && !word.starts_with("---") && !others.contains(word)) {
        assert!(help.contains(option), "no command has {option}, which docs/commands.md names");
    }
}

#[test]
fn the_help_of_every_command_is_held() {
    for name in names().0 {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/offline/help/{name}.trycmd"));
        assert!(file.is_file(), "write {} with `faultline {name} --help` in it", file.display());
    }
}
