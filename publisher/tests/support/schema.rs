//! Checks resources as an API server does, against the meshes' CustomResourceDefinitions: types, required and unknown
//! fields, and the rules in CEL, the language in which API servers evaluate the rest.
//!
//! The definitions are those of Istio, Envoy Gateway and Higress. They are read from the folder in `FAULTLINE_CRDS`,
//! otherwise from `shared/crds` beside the workspace. An API server silently drops fields that a schema does not know,
//! so this check is stricter: such a field is an error. A rule that cannot be evaluated here is reported on stderr.
//! Metadata is not checked, because Kubernetes checks it alike for every kind.

#![allow(dead_code, reason = "each test binary uses its own part")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use cel::extractors::This;
use cel::{Context, Env, Program};
use serde_json::Value;

use crate::skip::{Tool, skip};

/// The folder with the definitions; without it the test is listed as skipped. Set-up installs only Istio's, and only if
/// Go is installed.
pub(crate) fn crds() -> Option<PathBuf> {
    let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/crds");
    let found = match std::env::var_os("FAULTLINE_CRDS") {
        Some(named) => Some(named.into()),
        None => beside.is_dir().then_some(beside),
    };
    if found.is_none() {
        let reason = "set FAULTLINE_CRDS to a directory with the CustomResourceDefinitions of the meshes";
        skip("resources against the meshes' schemas", Tool::Optional, reason);
    }
    found
}

/// The definition of a kind, from a file that has one or more; without the file the check is listed as skipped.
pub(crate) fn crd(folder: &Path, file: &str, kind: &str) -> Option<Value> {
    let path = folder.join(format!("{file}.yaml"));
    let Ok(text) = std::fs::read_to_string(&path) else {
        skip(&format!("{kind} against its schema"), Tool::Optional, &format!("there is no {}", path.display()));
        return None;
    };
    let mut all: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
    all.retain(|crd| crd["spec"]["names"]["kind"] == kind);
    Some(all.pop().unwrap_or_else(|| panic!("{file} defines no {kind}")))
}

/// Checks values as an API server does, and collects the problems.
#[derive(Default)]
pub(crate) struct Rules {
    /// How many CEL rules were evaluated.
    pub(crate) evaluated: usize,
    /// The CEL rules that could not be evaluated, with the reason.
    pub(crate) not_evaluated: Vec<String>,
    problems: Vec<String>,
}

impl Rules {
    /// Everything that is wrong with a resource.
    pub(crate) fn problems(&mut self, crd: &Value, resource: &Value) -> Vec<String> {
        let group = crd["spec"]["group"].as_str().unwrap();
        assert_eq!(resource["kind"], crd["spec"]["names"]["kind"]);
        let versions = crd["spec"]["versions"].as_array().unwrap();
        let version = versions
            .iter()
            .find(|version| resource["apiVersion"] == format!("{group}/{}", version["name"].as_str().unwrap()))
            .unwrap_or_else(|| panic!("no such version: {}", resource["apiVersion"]));
        let schema = &version["schema"]["openAPIV3Schema"]["properties"]["spec"];
        self.check(schema, &resource["spec"], "spec");
        std::mem::take(&mut self.problems)
    }

    fn wrong(&mut self, at: &str, what: impl std::fmt::Display) {
        self.problems.push(format!("{at}: {what}"));
    }

    /// Whether a value satisfies a part of a schema. The problems are discarded.
    fn holds(schema: &Value, value: &Value) -> bool {
        let mut apart = Self::default();
        apart.check(schema, value, "");
        apart.problems.is_empty()
    }

    fn check(&mut self, schema: &Value, value: &Value, at: &str) {
        let kind = match value {
            Value::Object(_) => "object",
            Value::Array(_) => "array",
            Value::String(_) => "string",
            Value::Number(_) => "integer",
            Value::Bool(_) => "boolean",
            Value::Null => "null",
        };
        if schema.get("type").is_some_and(|wanted| wanted != kind) {
            return self.wrong(at, format!("{kind}, not {}", schema["type"]));
        }
        if schema["enum"].as_array().is_some_and(|allowed| !allowed.contains(value)) {
            self.wrong(at, format!("{value} is none of {}", schema["enum"]));
        }
        let list = |key: &str| schema[key].as_array().map(Vec::as_slice).unwrap_or_default();
        for part in list("allOf") {
            self.check(part, value, at);
        }
        let holding = |key: &str| list(key).iter().filter(|part| Self::holds(part, value)).count();
        if !list("oneOf").is_empty() && holding("oneOf") != 1 {
            self.wrong(at, format!("oneOf: {} hold", holding("oneOf")));
        }
        if !list("anyOf").is_empty() && holding("anyOf") == 0 {
            self.wrong(at, "anyOf: none holds");
        }
        if schema.get("not").is_some_and(|part| Self::holds(part, value)) {
            self.wrong(at, "not: it holds");
        }
        self.check_bounds(schema, value, at);
        match value {
            Value::Array(items) => {
                items
                    .iter()
                    .enumerate()
                    .for_each(|(i, item)| self.check(&schema["items"], item, &format!("{at}[{i}]")));
            }
            Value::Object(fields) => {
                for required in list("required").iter().filter_map(Value::as_str) {
                    if !fields.contains_key(required) {
                        self.problems.push(format!("{at}.{required} is missing"));
                    }
                }
                for (name, field) in fields {
                    let at = format!("{at}.{name}");
                    match schema["properties"].get(name).or(schema.get("additionalProperties")) {
                        Some(known) => self.check(known, field, &at),
                        None if schema["type"] != "object" => {}
                        None if schema["x-kubernetes-preserve-unknown-fields"] == true => {}
                        None => self.wrong(&at, "no such field"),
                    }
                }
            }
            _ => {}
        }
        for rule in list("x-kubernetes-validations") {
            self.check_rule(rule, value, at);
        }
    }

    fn check_bounds(&mut self, schema: &Value, value: &Value, at: &str) {
        let (size, least, most) = match value {
            Value::String(text) => (Some(text.chars().count() as i64), "minLength", "maxLength"),
            Value::Array(items) => (Some(items.len() as i64), "minItems", "maxItems"),
            Value::Object(fields) => (Some(fields.len() as i64), "minProperties", "maxProperties"),
            number => (number.as_i64(), "minimum", "maximum"),
        };
        let bound = |key: &str| schema.get(key).and_then(Value::as_i64);
        if size.is_some_and(|size| bound(least).is_some_and(|least| size < least)) {
            self.wrong(at, format!("{value} is below {least}"));
        }
        if size.is_some_and(|size| bound(most).is_some_and(|most| size > most)) {
            self.wrong(at, format!("{value} is above {most}"));
        }
        if let (Some(pattern), Some(text)) = (schema["pattern"].as_str(), value.as_str())
            && !regex::Regex::new(pattern).unwrap().is_match(text)
        {
            self.wrong(at, format!("{text} does not match {pattern}"));
        }
    }

    /// Evaluates a CEL rule.
    fn check_rule(&mut self, rule: &Value, value: &Value, at: &str) {
        let text = rule["rule"].as_str().unwrap();
        match evaluate(text, value) {
            Ok(true) => self.evaluated += 1,
            Ok(false) => {
                self.evaluated += 1;
                self.wrong(at, rule["message"].as_str().unwrap_or(text));
            }
            Err(why) => {
                eprintln!("not evaluated: {at}: {text}: {why}");
                self.not_evaluated.push(format!("{at}: {text}: {why}"));
            }
        }
    }
}

fn evaluate(rule: &str, value: &Value) -> Result<bool, String> {
    match execute(rule, [("self", value)].into_iter())? {
        cel::Value::Bool(held) => Ok(held),
        other => Err(format!("{other:?} is no answer")),
    }
}

/// The value of a CEL expression, given an object with the value of each of its variables.
pub(crate) fn evaluate_to_json(expression: &str, variables: &Value) -> Result<Value, String> {
    let variables = variables.as_object().into_iter().flatten();
    let value = execute(expression, variables.map(|(name, value)| (name.as_str(), value)))?;
    value.json().map_err(|e| e.to_string())
}

fn execute<'a>(text: &str, variables: impl Iterator<Item = (&'a str, &'a Value)>) -> Result<cel::Value, String> {
    let env = Arc::new(Env::stdlib());
    let program: Program = env.compile(text).map_err(|e| e.to_string())?;
    let mut context = Context::with_env(env);
    for (name, value) in variables {
        context.add_variable(name, value).map_err(|e| e.to_string())?;
    }
    // The functions of CEL and Kubernetes that these rules use, no more: a URL is valid if it has a scheme.
    let scheme = |This(url): This<Arc<String>>| url.split("://").next().unwrap_or_default().to_owned();
    context.add_function("isURL", |text: Arc<String>| text.contains("://")).map_err(|e| format!("{e:?}"))?;
    context.add_function("url", |text: Arc<String>| text).map_err(|e| format!("{e:?}"))?;
    context.add_function("getScheme", scheme).map_err(|e| format!("{e:?}"))?;
    let matches = |This(text): This<Arc<String>>, pattern: Arc<String>| {
        regex::Regex::new(&pattern).is_ok_and(|pattern| pattern.is_match(&text))
    };
    context.add_function("matches", matches).map_err(|e| format!("{e:?}"))?;
    let replace = |This(text): This<Arc<String>>, from: Arc<String>, to: Arc<String>| text.replace(&*from, &to);
    context.add_function("replace", replace).map_err(|e| format!("{e:?}"))?;
    context.add_function("duration", |text: Arc<String>| seconds(&text)).map_err(|e| format!("{e:?}"))?;
    program.execute(&context).map_err(|why| why.to_string())
}

/// A duration with one unit, as resources have them, in seconds. Anything else gives -1, which is less than any
/// duration.
fn seconds(text: &str) -> f64 {
    // `ms` comes first because it ends in `s`.
    let units = [("ms", 0.001), ("s", 1.0), ("m", 60.0), ("h", 3600.0)];
    let unit = units.iter().find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, factor)));
    unit.and_then(|(number, factor)| Some(number.parse::<f64>().ok()? * factor)).unwrap_or(-1.0)
}
