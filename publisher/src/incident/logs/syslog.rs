//! What syslog and the journal write before a message: a machine and a program.

use super::cells::likeness;
use super::labels;
use super::writer::{Writer, is_host, of};

/// What stands between the time and the message, too.
const LEVELS: [&str; 8] = ["trace", "debug", "info", "warn", "warning", "error", "critical", "fatal"];

/// `Nov 20 15:43:09 HOST PROGRAM[1]:`
pub(super) fn journal<'a>(words: &[&'a str]) -> Option<Writer<'a>> {
    let at = words.iter().position(|word| is_time_of_day(word))?;
    let ([_, _] | [_]) = words.get(..at)? else { return None };
    after_the_time(words.get(at + 1..)?)
}

/// `HOST PROGRAM[1]:`, or `PROGRAM[1]:` where the machine is not named
pub(super) fn after_the_time<'a>(words: &[&'a str]) -> Option<Writer<'a>> {
    if let [program, ..] = words
        && program.ends_with("]:")
    {
        return written_by("", program.split_once('[').map_or(program, |(name, _)| name), "");
    }
    let [host, program, ..] = words else { return None };
    let program = program.strip_suffix(':')?;
    let (name, process) = program.split_once('[').unwrap_or((program, ""));
    written_by(host, name, process.strip_suffix(']').unwrap_or_default())
}

/// `HOST APPLICATION` of RFC 5424
pub(super) fn of_application<'a>(words: &[&'a str]) -> Option<Writer<'a>> {
    let [host, application, rest @ ..] = words else { return None };
    let told = |word: &'a str| if word == "-" { "" } else { word };
    written_by(told(host), told(application), rest.first().copied().map(told).unwrap_or_default())
}

/// What a machine's program wrote. Where a pod stands for the program, it is the pod's: forwarders write the container
/// or the pod there, and the machine or the pod as the machine.
fn written_by<'a>(host: &'a str, program: &'a str, process: &'a str) -> Option<Writer<'a>> {
    if let Some((namespace, pod, container)) = labels::of_path(program) {
        return of(namespace, pod, container);
    }
    let (before, program) = program.rsplit_once('/').unwrap_or(("", program));
    let good = [host, before, program].iter().all(|name| name.is_empty() || is_host(name));
    if good && likeness(program) > likeness(host) {
        return Some(Writer { namespace: before, pod: program, ..Writer::default() });
    }
    // One program runs on many machines: its name alone tells less than the file's.
    let is_level = LEVELS.iter().any(|level| host.eq_ignore_ascii_case(level));
    let process = if process.bytes().all(|byte| byte.is_ascii_digit()) { process } else { "" };
    let writer = Writer { host, container: program, process, ..Writer::default() };
    (good && !host.is_empty() && !is_level).then_some(writer)
}

/// The machine before a program with its process's number, behind a time of any form: `Fri 2026-11-20 15:43:09 UTC HOST
/// PROGRAM[1]:`, `1795189389.567 HOST PROGRAM[1]:`.
pub(super) fn by_process<'a>(line: &'a str) -> Option<Writer<'a>> {
    const MOST_WORDS: usize = 7;
    let is_number = |id: &str| !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit());
    let program = |word: &'a str| {
        let (name, id) = word.strip_suffix("]:")?.split_once('[')?;
        is_number(id).then_some((name, id))
    };
    let (mut all, mut count) = ([""; MOST_WORDS], 0);
    for (place, word) in all.iter_mut().zip(line.split_ascii_whitespace()) {
        *place = word;
        count += 1;
    }
    let words = all.get(..count)?;
    let at = words.iter().position(|word| program(word).is_some()).filter(|at| *at >= 2)?;
    let is_timed = words
        .get(..at - 1)?
        .iter()
        .any(|word| word.contains([':', '.']) && word.contains(|c: char| c.is_ascii_digit()));
    let (name, id) = program(words[at])?;
    is_timed.then(|| written_by(words[at - 1], name, id)).flatten()
}

/// A line without syslog's priority, and whether what follows is as RFC 5424 has it: `<14>1 `, with the message's
/// length before it where lines come as TCP carries them.
pub(super) fn after_priority(line: &str) -> (&str, bool) {
    let digits = line.bytes().take_while(u8::is_ascii_digit).count();
    let framed = line.get(digits..).and_then(|rest| rest.strip_prefix(' ')).filter(|_| digits > 0);
    let framed = framed.filter(|rest| rest.starts_with('<')).unwrap_or(line);
    let Some((priority, rest)) = framed.strip_prefix('<').and_then(|rest| rest.split_once('>')) else {
        return (line, false);
    };
    if priority.is_empty() || priority.len() > 3 || !priority.bytes().all(|b| b.is_ascii_digit()) {
        return (line, false);
    }
    rest.strip_prefix("1 ").map_or((rest, false), |rest| (rest, true))
}

fn is_time_of_day(word: &str) -> bool {
    let bytes = word.as_bytes();
    bytes.len() >= 8
        && bytes.get(2) == Some(&b':')
        && bytes.get(5) == Some(&b':')
        && bytes.iter().all(|b| b.is_ascii_digit() || b":.,".contains(b))
}
