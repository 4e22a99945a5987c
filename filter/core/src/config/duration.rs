//! Durations as users of Istio and Kubernetes write them: `500ms`, `0.5s`, `30s`, `5m`, `1h`, `1h30m`.
//!
//! Not here: which durations a field accepts; see [`crate::config`].

use crate::json::decimal;
use std::fmt;

/// A duration of whole milliseconds, from 1 ms to 365 days; written and read as text with a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Duration(u64);

/// The longest accepted duration: a year, in milliseconds. A longer one is a typing error.
const MAX_MILLIS: u64 = 365 * 24 * 3600 * 1000;

impl Duration {
    /// Creates a duration from milliseconds, clamped to the range 1 ms to 365 days.
    pub const fn from_millis(millis: u64) -> Self {
        match millis {
            0 => Self(1),
            m if m > MAX_MILLIS => Self(MAX_MILLIS),
            m => Self(m),
        }
    }

    /// The duration in milliseconds, from 1 to 31,536,000,000 (365 days).
    pub const fn millis(self) -> u64 {
        self.0
    }

    /// Parses `1h30m`, `0.5s`, `250ms` and the like: numbers with a unit (`h`, `m`, `s`, `ms`), one after another.
    ///
    /// # Errors
    /// A sentence that says what was expected, if a unit is missing or unknown, or if the sum is under 1 ms or over a
    /// year.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wanted = || format!("\"{text}\" is not a duration; write for example \"500ms\", \"30s\", \"5m\" or \"1h\"");
        let mut rest = text.trim();
        let mut total = 0.0_f64;
        if rest.is_empty() {
            return Err(wanted());
        }
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !(c.is_ascii_digit() || c == '.')).ok_or_else(wanted)?;
            let (number, tail) = rest.split_at_checked(digits).ok_or_else(wanted)?;
            let number = decimal(number).ok_or_else(wanted)?;
            let letters = tail.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(tail.len());
            let (unit, tail) = tail.split_at_checked(letters).ok_or_else(wanted)?;
            let unit_millis = match unit {
                "ms" => 1.0,
                "s" => 1_000.0,
                "m" => 60_000.0,
                "h" => 3_600_000.0,
                _ => return Err(wanted()),
            };
            total += number * unit_millis;
            rest = tail;
        }
        if !(1.0..=MAX_MILLIS as f64).contains(&total) {
            return Err(format!("\"{text}\" is out of range; a duration is from 1ms to 8760h"));
        }
        Ok(Self(total.round() as u64))
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            ms if ms % 3_600_000 == 0 => write!(f, "{}h", ms / 3_600_000),
            ms if ms % 60_000 == 0 => write!(f, "{}m", ms / 60_000),
            ms if ms % 1_000 == 0 => write!(f, "{}s", ms / 1_000),
            ms => write!(f, "{ms}ms"),
        }
    }
}

#[cfg(feature = "schema")]
impl serde::Serialize for Duration {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for Duration {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Duration".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "description": "A duration such as 500ms, 0.5s, 30s, 5m or 1h.",
            "pattern": "^([0-9]+(\\.[0-9]+)?(ms|s|m|h))+$"
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_istio_writes() {
        for (text, millis) in
            [("500ms", 500), ("0.5s", 500), ("30s", 30_000), ("5m", 300_000), ("1h", 3_600_000), ("1h30m", 5_400_000)]
        {
            assert_eq!(Duration::parse(text).map(Duration::millis), Ok(millis), "{text}");
        }
    }

    #[test]
    fn refuses_what_has_no_unit_or_no_sense() {
        for text in ["", "5", "s", "-1s", "1d", "1.2.3s", "0s", "99999h", "5 s", "١s"] {
            assert!(Duration::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn writes_the_shortest_exact_form() {
        for text in ["500ms", "90s", "5m", "1h"] {
            assert_eq!(Duration::parse(text).unwrap().to_string(), text);
        }
    }
}
