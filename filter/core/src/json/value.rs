//! A JSON value that was read.

/// A value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Value {
    /// `null`.
    #[default]
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number as it was written.
    Number(String),
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Value>),
    /// The members of an object as they were written. If a name is there twice, the last one counts.
    Object(Vec<(String, Value)>),
}

impl Value {
    /// A member of an object.
    pub fn get(&self, name: &str) -> Option<&Self> {
        member(self.as_object()?, name)
    }

    /// The text, if it is one.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Whether it is `true`, if it is one of both.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(is) => Some(*is),
            _ => None,
        }
    }

    /// The whole number, if it is one that is written without fraction and exponent, from 0 to `u64::MAX`.
    pub fn as_u64(&self) -> Option<u64> {
        match self {
            Self::Number(text) => text.parse().ok(),
            _ => None,
        }
    }

    /// The number, if it is one; exact to 15 digits.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Number(text) => number(text),
            _ => None,
        }
    }

    /// The items, if it is a list.
    pub fn as_list(&self) -> Option<&[Self]> {
        match self {
            Self::List(items) => Some(items),
            _ => None,
        }
    }

    /// The members, if it is an object.
    pub fn as_object(&self) -> Option<&[(String, Self)]> {
        match self {
            Self::Object(members) => Some(members),
            _ => None,
        }
    }
}

/// The member of this name.
pub(crate) fn member<'v>(members: &'v [(String, Value)], name: &str) -> Option<&'v Value> {
    members.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value)
}

/// The number that a text of digits with at most one point is; `None` for any other text. Exact to 15 digits.
pub fn decimal(text: &str) -> Option<f64> {
    scaled(text, 0)
}

/// A JSON number.
fn number(text: &str) -> Option<f64> {
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (sign, mantissa) = mantissa.strip_prefix('-').map_or((1.0, mantissa), |mantissa| (-1.0, mantissa));
    // An exponent that does not fit is beyond any number.
    let beyond = if exponent.starts_with('-') { i32::MIN } else { i32::MAX };
    let exponent = exponent.strip_prefix('+').unwrap_or(exponent).parse().unwrap_or(beyond);
    Some(sign * scaled(mantissa, exponent)?)
}

/// A text of digits with at most one point, times ten to the `exponent`; never less than zero and never not a number.
fn scaled(text: &str, mut exponent: i32) -> Option<f64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let mut digits = 0_u64;
    for (index, digit) in whole.bytes().chain(fraction.bytes()).enumerate() {
        let digit = digit.checked_sub(b'0').filter(|digit| *digit <= 9)?;
        let more = digits.checked_mul(10).and_then(|digits| digits.checked_add(u64::from(digit)));
        let is_fraction = index >= whole.len();
        match more {
            Some(more) => {
                digits = more;
                exponent = exponent.saturating_sub(i32::from(is_fraction));
            }
            // What does not fit any more is too small to count, but it is a digit.
            None => exponent = exponent.saturating_add(i32::from(!is_fraction)),
        }
    }
    // Beyond that every number is zero or infinite.
    let power = (0..exponent.unsigned_abs().min(400)).fold(1.0_f64, |power, _| power * 10.0);
    // One division of two exact numbers is exact.
    Some(match digits {
        0 => 0.0,
        digits if exponent < 0 => digits as f64 / power,
        digits => digits as f64 * power,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_to_the_last_bit() {
        for text in
            ["0", "1", "0.1", "0.02", "0.3", "123456.789", "99.95", "250.5", "-3", "1e3", "2.5E-3", "1e22", "-0.0"]
        {
            let value = Value::Number(text.into());
            assert_eq!(value.as_f64(), text.parse().ok(), "{text}");
        }
        let huge = Value::Number("123456789012345678901234567890".into());
        assert!((huge.as_f64().unwrap() / 1.234_567_890_123_456_7e29 - 1.0).abs() < 1e-14);
        assert_eq!(Value::Number("1e99999999999".into()).as_f64(), Some(f64::INFINITY));
        assert_eq!(Value::Number("1e-99999999999".into()).as_f64(), Some(0.0));
        assert_eq!(Value::Number("0e999".into()).as_f64(), Some(0.0));
        let long = format!("1{}", "0".repeat(400));
        assert_eq!(Value::Number(format!("{long}e-400")).as_f64(), Some(1.0));
        assert_eq!(Value::Number(format!("{long}e-4000")).as_f64(), Some(0.0));
        assert_eq!(Value::Number(format!("-{long}")).as_f64(), Some(f64::NEG_INFINITY));
        assert_eq!(decimal("2."), Some(2.0));
        assert_eq!(decimal(".5"), Some(0.5));
        assert_eq!([".", "", "1.2.3", "x", "-1", "١"].map(decimal), [None; 6]);
    }

    #[test]
    fn whole_numbers_are_those_without_fraction_and_sign() {
        let whole = |text: &str| Value::Number(text.into()).as_u64();
        assert_eq!((whole("7"), whole("18446744073709551615")), (Some(7), Some(u64::MAX)));
        assert_eq!(["-1", "1.0", "1e3", "18446744073709551616"].map(whole), [None; 4]);
    }
}
