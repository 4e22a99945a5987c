//! CEL expressions over attributes, in four forms.
//!
//! Envoy parses any CEL. Here an expression is a list of attribute paths, `[xds.cluster_name, response.code]`,
//! comparisons of attributes with whole numbers that must all hold, `response.code < 500 && response.flags == 0`, such
//! comparisons that choose one of two texts, `response.code < 500 ? "" : "-"`, or a whole number, whose value it is.
//! Everything else, including other valid CEL, gets Envoy's answer to a parse error: BadArgument. A missing attribute
//! makes the evaluation an InternalFailure (unless another comparison is false, because CEL's `&&` is then false), and
//! a null in a list makes it a SerializationFailure. Signed and unsigned numbers do not compare in CEL: `1` is signed,
//! `1u` is not. (Envoy's source/extensions/common/wasm/foreign.cc)

use crate::abi::Status;
use crate::properties::{Found, Path};
use crate::value::Value;

/// An expression in one of the supported forms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Expression {
    /// The values of attributes.
    List(Vec<Path>),
    /// Whether all of these hold.
    All(Vec<Comparison>),
    /// One of two texts: the first if all of these hold.
    Either(Vec<Comparison>, [String; 2]),
    /// A signed number.
    Number(i64),
}

/// An attribute compared with a number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Comparison {
    path: Path,
    operator: &'static str,
    number: i128,
    unsigned: bool,
}

/// Operators; a longer operator comes before its own prefix.
const OPERATORS: [&str; 6] = ["<=", ">=", "==", "!=", "<", ">"];

impl Expression {
    /// Parses an expression; `None` if it has neither form.
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?.trim();
        if let Ok(number) = text.parse() {
            return Some(Self::Number(number));
        }
        match text.strip_prefix('[') {
            Some(rest) => {
                let inner = rest.strip_suffix(']')?.trim();
                let items: Vec<&str> = if inner.is_empty() { Vec::new() } else { inner.split(',').collect() };
                items.into_iter().map(attribute).collect::<Option<_>>().map(Self::List)
            }
            None => match text.split_once('?') {
                Some((condition, texts)) => {
                    let (first, second) = texts.split_once(':')?;
                    Some(Self::Either(comparisons(condition)?, [quoted(first)?, quoted(second)?]))
                }
                None => comparisons(text).map(Self::All),
            },
        }
    }

    /// Evaluates the expression; `property` looks up attributes.
    pub(crate) fn evaluate(&self, mut property: impl FnMut(&Path) -> Found) -> Result<Value, Status> {
        match self {
            Self::Number(number) => Ok(Value::Int(*number)),
            Self::List(paths) => {
                let values = paths.iter().map(|path| match property(path) {
                    Found::Value(Value::Error) | Found::Missing => Err(Status::InternalFailure),
                    Found::Value(value) => Ok(value),
                    Found::Wrapper => Err(Status::SerializationFailure),
                });
                Ok(Value::List(values.collect::<Result<_, _>>()?))
            }
            Self::All(comparisons) => all_hold(comparisons, property).map(Value::Bool),
            Self::Either(comparisons, [first, second]) => {
                let holds = all_hold(comparisons, property)?;
                Ok(Value::Str(if holds { first } else { second }.clone()))
            }
        }
    }
}

/// Comparisons, joined by `&&`.
fn comparisons(text: &str) -> Option<Vec<Comparison>> {
    text.split("&&").map(Comparison::parse).collect()
}

/// Whether all comparisons hold, by CEL's `&&`.
fn all_hold(comparisons: &[Comparison], mut property: impl FnMut(&Path) -> Found) -> Result<bool, Status> {
    let mut unknown = false;
    for comparison in comparisons {
        match comparison.holds(property(&comparison.path)) {
            Some(true) => {}
            Some(false) => return Ok(false),
            None => unknown = true,
        }
    }
    if unknown { Err(Status::InternalFailure) } else { Ok(true) }
}

/// The content of a text in double quotes.
fn quoted(text: &str) -> Option<String> {
    let content = text.trim().strip_prefix('"')?.strip_suffix('"')?;
    (!content.contains(['"', '\\'])).then(|| content.to_owned())
}

impl Comparison {
    fn parse(text: &str) -> Option<Self> {
        let operator = OPERATORS.into_iter().find(|operator| text.contains(operator))?;
        let (path, number) = text.split_once(operator)?;
        let number = number.trim();
        let (digits, unsigned) = number.strip_suffix('u').map_or((number, false), |digits| (digits, true));
        Some(Self { path: attribute(path)?, operator, number: digits.parse().ok()?, unsigned })
    }

    /// Whether the comparison holds; `None` if the attribute does not exist or has another type.
    fn holds(&self, found: Found) -> Option<bool> {
        let value = match found {
            Found::Value(Value::Int(value)) if !self.unsigned => i128::from(value),
            Found::Value(Value::Uint(value)) if self.unsigned => i128::from(value),
            _ => return None,
        };
        Some(match self.operator {
            "<=" => value <= self.number,
            ">=" => value >= self.number,
            "==" => value == self.number,
            "!=" => value != self.number,
            "<" => value < self.number,
            _ => value > self.number,
        })
    }
}

/// The path of an attribute, `response.code`.
fn attribute(text: &str) -> Option<Path> {
    let identifier = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    let text = text.trim();
    (text.contains('.') && text.split('.').all(identifier)).then(|| Path::written(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_shapes_are_understood() {
        let Some(Expression::List(paths)) = Expression::parse(b" [xds.cluster_name, upstream.address,response.code] ")
        else {
            panic!("a list")
        };
        let dotted: Vec<String> = paths.iter().map(Path::dotted).collect();
        assert_eq!(dotted, ["xds.cluster_name", "upstream.address", "response.code"]);
        assert_eq!(Expression::parse(b"[]"), Some(Expression::List(vec![])));
        let number = Expression::parse(b"-7").map(|number| number.evaluate(|_| Found::Missing));
        assert_eq!(number, Some(Ok(Value::Int(-7))));
        assert!(matches!(Expression::parse(b"a.b < 5 && c.d == 1u"), Some(Expression::All(all)) if all.len() == 2));
        for other in [
            "",
            "response.code",
            "[a.b,]",
            "[a..b]",
            "[1]",
            "[a+b]",
            "[a[0]]",
            "[a.b",
            "a.b < c.d",
            "a.b & 1",
            "a.b < 1 ? 1 : 2",
            "a.b ? \"\" : \"\"",
            "a.b < 1 ? \"x\"",
            "a.b < 1 ? \"x : \"y\"",
        ] {
            assert_eq!(Expression::parse(other.as_bytes()), None, "{other}");
        }
    }

    #[test]
    fn comparisons_follow_cel() {
        let evaluate = |text: &str| {
            Expression::parse(text.as_bytes()).unwrap().evaluate(|path| match path.dotted().as_str() {
                "a.int" => Found::Value(Value::Int(5)),
                "a.uint" => Found::Value(Value::Uint(1)),
                _ => Found::Missing,
            })
        };
        assert_eq!(evaluate("a.int < 6 && a.uint == 1u"), Ok(Value::Bool(true)));
        assert_eq!(evaluate("a.int < 5 && a.uint == 1u"), Ok(Value::Bool(false)));
        assert_eq!(evaluate("a.uint == 1"), Err(Status::InternalFailure), "signed and unsigned do not compare");
        assert_eq!(evaluate("a.none == 1"), Err(Status::InternalFailure));
        let text = |text: &str| Ok(Value::Str(text.to_owned()));
        assert_eq!(evaluate(r#"a.int == 5 && a.uint == 1u ? "" : "-""#), text(""));
        assert_eq!(evaluate(r#"a.int == 6 && a.none == 1u ? "" : "-""#), text("-"));
        assert_eq!(evaluate(r#"a.int == 5 && a.none == 1u ? "" : "-""#), Err(Status::InternalFailure));
        assert_eq!(evaluate("a.none == 1 && a.int == 0"), Ok(Value::Bool(false)));
    }
}
