//! Syslog as TCP carries it, with the length of each message before it (RFC 6587) and nothing between one and the next:
//! what was caught on its way is a single line, and each message in it has its own writer.

use std::io::{self, BufRead, Read};

/// A longer message is cut.
const MOST_BYTES: u64 = 1 << 20;

/// The length of a message has at most so many digits.
const MOST_DIGITS: usize = 7;

/// Whether a text is of that form: a length, a priority, and another length right behind the message.
pub(super) fn is_framed(begin: &[u8]) -> bool {
    let Some((head, length)) = frame(begin) else { return false };
    begin.get(head + length..).is_some_and(|rest| frame(rest).is_some())
}

/// How long the head of a frame is, and how long its message.
fn frame(bytes: &[u8]) -> Option<(usize, usize)> {
    let digits = bytes.iter().take(MOST_DIGITS).take_while(|byte| byte.is_ascii_digit()).count();
    let length: usize = std::str::from_utf8(bytes.get(..digits)?).ok()?.parse().ok()?;
    let [b' ', b'<', digit, ..] = bytes.get(digits..)? else { return None };
    digit.is_ascii_digit().then_some((digits + 1, length))
}

/// What takes a message in; false when it wants no more.
pub(super) type Sink<'s> = dyn FnMut(&[u8]) -> bool + 's;

/// Gives the sink every message. What follows a frame that is none is given as one.
///
/// # Errors
/// Those of reading.
pub(super) fn each(mut text: impl BufRead, sink: &mut Sink<'_>) -> io::Result<()> {
    loop {
        let mut head = Vec::new();
        (&mut text).take(MOST_DIGITS as u64 + 1).read_until(b' ', &mut head)?;
        if head.is_empty() {
            return Ok(());
        }
        let digits = head.strip_suffix(b" ").and_then(|digits| std::str::from_utf8(digits).ok());
        let (length, mut message) = match digits.and_then(|digits| digits.trim_start().parse::<u64>().ok()) {
            Some(length) => (length, Vec::new()),
            None => (u64::MAX, head),
        };
        (&mut text).take(length.min(MOST_BYTES)).read_to_end(&mut message)?;
        io::copy(&mut (&mut text).take(length.saturating_sub(MOST_BYTES)), &mut io::sink())?;
        if !sink(&message) {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_parted_by_their_lengths() {
        let parted = |text: &str| {
            let mut all = Vec::new();
            let mut take = |message: &[u8]| {
                all.push(String::from_utf8_lossy(message).into_owned());
                true
            };
            each(text.as_bytes(), &mut take).unwrap();
            all
        };
        let text = "7 <14>1 a9 <14>1 bcd6 <14>";
        assert!(is_framed(text.as_bytes()));
        assert_eq!(parted(text), ["<14>1 a", "<14>1 bcd", "<14>"], "the last is cut");
        assert_eq!(parted("7 <14>1 abroken <14>1 x"), ["<14>1 a", "broken <14>1 x"]);
        for none in ["7 <14>1 a\n9 <14>1 bcd", "7 <14>1 a", "12 apples", "<14>1 a", ""] {
            assert!(!is_framed(none.as_bytes()), "{none}");
        }
    }
}
