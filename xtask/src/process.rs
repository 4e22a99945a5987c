//! Runs other programs: stdin, output, time limits and errors.
//!
//! Every child gets no stdin, because set-up also runs in CI, where nobody can answer a question. Installers write to a
//! log and have a time limit, because some of them wait forever on a closed network. Cargo and the tests keep the
//! terminal, so that a person can watch them. Nothing here knows what the programs are for.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// Time limit of a command that downloads something small.
pub(crate) const SHORT: Duration = Duration::from_secs(60);
/// Time limit of a download and installation.
pub(crate) const LONG: Duration = Duration::from_secs(15 * 60);

/// The first executable file called `name` on `PATH`.
pub(crate) fn find_on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(name)).find(|file| is_executable(file))
}

/// Whether `file` is an executable file.
pub(crate) fn is_executable(file: &Path) -> bool {
    fs::metadata(file).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// The command's output on stdout, without the surrounding white space; `None` if it cannot be run or fails.
pub(crate) fn capture(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

/// Runs a command on the terminal's stdout and stderr; an exit code other than zero is an error.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let line = line(command);
    let status = command.stdin(Stdio::null()).status().with_context(|| format!("`{line}` cannot be run"))?;
    if !status.success() {
        bail!("`{line}` failed ({status})");
    }
    Ok(())
}

/// Runs a command whose output is appended to `log`; the error quotes the most relevant line of it.
pub(crate) fn run_logged(command: &mut Command, log: &Path, limit: Duration) -> Result<()> {
    run_reported(command, log, limit, limit, |_, _| {})
}

/// Like [`run_logged`], for a command that takes long: every `pause`, `news` is told how long it has run and how many
/// lines it has written.
pub(crate) fn run_reported(
    command: &mut Command,
    log: &Path,
    limit: Duration,
    pause: Duration,
    mut news: impl FnMut(Duration, usize),
) -> Result<()> {
    let line = line(command);
    let mut out = open_log(log)?;
    writeln!(out, "$ {line}").with_context(|| format!("{} cannot be written", log.display()))?;
    let start = out.seek(SeekFrom::End(0))?;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(out.try_clone()?)
        .stderr(out.try_clone()?)
        .spawn()
        .with_context(|| format!("`{line}` cannot be run"))?;
    let started = Instant::now();
    let mut told = started;
    loop {
        if let Some(status) = child.try_wait()? {
            if status.success() {
                return Ok(());
            }
            let said = telling_line(log, start).unwrap_or_else(|| status.to_string());
            bail!("`{line}` failed: {said} (all of it: {})", log.display());
        }
        if started.elapsed() >= limit {
            // Its output goes to a file, so a grandchild that outlives it does not block anything.
            child.kill()?;
            child.wait()?;
            bail!("`{line}` was stopped: no end after {} s", limit.as_secs());
        }
        if told.elapsed() >= pause {
            told = Instant::now();
            news(started.elapsed(), written(log, start).map_or(0, |text| text.lines().count()));
        }
        thread::sleep(Duration::from_millis(50));
    }
}

/// The command as a person would type it: with the program's name instead of its path.
fn line(command: &Command) -> String {
    let program = Path::new(command.get_program());
    std::iter::once(program.file_name().unwrap_or(command.get_program()))
        .chain(command.get_args())
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}

fn open_log(log: &Path) -> Result<File> {
    if let Some(dir) = log.parent() {
        fs::create_dir_all(dir).with_context(|| format!("{} cannot be made", dir.display()))?;
    }
    File::options()
        .create(true)
        .read(true)
        .append(true)
        .open(log)
        .with_context(|| format!("{} cannot be written", log.display()))
}

/// The last line after `start` that begins with `error`, or otherwise the last that is not empty.
fn telling_line(log: &Path, start: u64) -> Option<String> {
    let text = written(log, start)?;
    let is_error = |line: &&str| {
        let line = line.trim_start().to_ascii_lowercase();
        line.starts_with("error") || line.starts_with("e: ")
    };
    let lines = || text.lines().rev().map(str::trim).filter(|line| !line.is_empty());
    lines().find(is_error).or_else(|| lines().next()).map(str::to_owned)
}

/// What a log has from `start` on.
fn written(log: &Path, start: u64) -> Option<String> {
    let mut file = File::open(log).ok()?;
    file.seek(SeekFrom::Start(start)).ok()?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}
