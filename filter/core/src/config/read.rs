//! Reads the configuration from JSON field by field, so that an error can name the path, what came and what was wanted.
//!
//! It is written by hand because the derived code, with what tracks the path of an error and finds unknown fields, made
//! up a third of the module's size. A test reads a configuration that has every field of the types.

use super::duration::Duration;
use super::matching::Range;
use super::notify::{Format, MAX_ADDRESS_BYTES, MAX_LABEL_BYTES, MAX_LABELS, MAX_TIMEOUT, Notify, OWN_LABELS};
use super::types::{
    Attempts, ClusterRule, Config, ConfigError, Events, Failover, Limits, LocalityRule, LogLevel, OutlierDetection,
    Parsed, Traffic, Witness,
};
use crate::json::{self, Value};
use crate::order;
use crate::text::joined;

/// Reads a whole configuration.
pub(super) fn config(text: &[u8]) -> Result<Parsed, ConfigError> {
    let whole = |problem: String| ConfigError { path: ".".into(), problem };
    let json = json::parse(text).map_err(whole)?;
    let Value::Object(fields) = &json else {
        return Err(whole(format!("got {}, wanted an object", described(&json))));
    };
    let mut unknown_fields = Vec::new();
    let mut object = Object { path: String::new(), fields, known: Vec::new(), unknown: &mut unknown_fields };
    let mut config = Config::default();
    fields_of(&mut config, &mut object)?;
    object.finish();
    if config.attempts == Attempts::Failed {
        config.witness.get_or_insert_default();
    }
    Ok(Parsed { config, unknown_fields })
}

/// One by one into the defaults: an error in the middle of a whole value has each field before it freed by code of its
/// own.
fn fields_of(config: &mut Config, object: &mut Object<'_, '_>) -> Result<(), ConfigError> {
    config.outlier_detection = object.object("outlierDetection", outlier_detection)?.unwrap_or_default();
    config.clusters = object.list("clusters", cluster_rule)?;
    config.localities = object.list("localities", locality_rule)?;
    config.failover = object.object("failover", failover)?.unwrap_or_default();
    config.witness = object.object("witness", witness)?;
    config.notify = object.object("notify", notify)?;
    config.attempts = match object.choice("attempts", &["final", "upstreamLog", "failed"], 0)? {
        0 => Attempts::Final,
        1 => Attempts::UpstreamLog,
        _ => Attempts::Failed,
    };
    config.events = if object.choice("events", &["all", "compact"], 0)? == 0 { Events::All } else { Events::Compact };
    config.traffic = object.object("traffic", traffic)?.unwrap_or_default();
    config.limits = object.object("limits", limits)?.unwrap_or_default();
    config.log_level = match object.choice("logLevel", &["trace", "debug", "info", "warn", "error"], 2)? {
        0 => LogLevel::Trace,
        1 => LogLevel::Debug,
        2 => LogLevel::Info,
        3 => LogLevel::Warn,
        _ => LogLevel::Error,
    };
    Ok(())
}

fn outlier_detection(object: &mut Object<'_, '_>) -> Result<OutlierDetection, ConfigError> {
    let default = OutlierDetection::default();
    let mut count = |name, default| object.whole(name, 0, 1_000_000, default);
    let (consecutive5xx_errors, consecutive_gateway_errors, consecutive_local_origin_failures) = (
        count("consecutive5xxErrors", default.consecutive5xx_errors)?,
        count("consecutiveGatewayErrors", default.consecutive_gateway_errors)?,
        count("consecutiveLocalOriginFailures", default.consecutive_local_origin_failures)?,
    );
    Ok(OutlierDetection {
        consecutive5xx_errors,
        consecutive_gateway_errors,
        consecutive_local_origin_failures,
        split_external_local_origin_errors: object.flag("splitExternalLocalOriginErrors")?,
        interval: object.duration("interval", default.interval)?,
        base_ejection_time: object.duration("baseEjectionTime", default.base_ejection_time)?,
        max_ejection_time: object.duration("maxEjectionTime", default.max_ejection_time)?,
        max_ejection_percent: object.whole("maxEjectionPercent", 0, 100, default.max_ejection_percent)?,
        min_health_percent: object.whole("minHealthPercent", 0, 100, default.min_health_percent)?,
    })
}

fn cluster_rule(object: &mut Object<'_, '_>) -> Result<ClusterRule, ConfigError> {
    Ok(ClusterRule {
        pattern: object.text("match", "the name of a cluster, or a pattern with * and ?", |text| !text.is_empty())?,
        outlier_detection: object.object("outlierDetection", outlier_detection)?,
        ignore: object.flag("ignore")?,
    })
}

fn locality_rule(object: &mut Object<'_, '_>) -> Result<LocalityRule, ConfigError> {
    let is_range = |text: &str| Range::parse(text).is_some();
    Ok(LocalityRule {
        cidr: object.text("cidr", "a range of addresses such as 10.1.0.0/16", is_range)?,
        locality: object.text("locality", "region/zone/subzone", |text| !text.is_empty())?,
    })
}

fn failover(object: &mut Object<'_, '_>) -> Result<Failover, ConfigError> {
    let default = Failover::default();
    let window = object.duration("window", default.window)?;
    if !(1_000..=3_600_000).contains(&window.millis()) {
        return Err(object.error("window", &window.to_string(), "from 1s to 1h"));
    }
    Ok(Failover {
        window,
        min_requests: object.whole("minRequests", 0, 1_000_000, default.min_requests)?,
        start_share: object.share("startShare", default.start_share)?,
        end_after: object.duration("endAfter", default.end_after)?,
    })
}

fn witness(object: &mut Object<'_, '_>) -> Result<Witness, ConfigError> {
    let default = Witness::default();
    let min_interval = object.duration("minInterval", default.min_interval)?;
    let max_interval = object.duration("maxInterval", default.max_interval)?;
    if min_interval > max_interval {
        return Err(object.error("minInterval", &min_interval.to_string(), "no more than maxInterval"));
    }
    let cluster = match object.take("cluster") {
        None => default.cluster,
        Some(_) => object.text("cluster", "the name of a cluster", |text| !text.is_empty())?,
    };
    Ok(Witness { cluster, min_interval, max_interval, timeout: object.duration("timeout", default.timeout)? })
}

fn notify(object: &mut Object<'_, '_>) -> Result<Notify, ConfigError> {
    let default = Notify::default();
    let timeout = object.duration("timeout", default.timeout)?;
    if timeout.millis() > MAX_TIMEOUT {
        return Err(object.error("timeout", &timeout.to_string(), "from 1ms to 1m"));
    }
    // Path, host and cluster become headers.
    let is_address =
        |text: &str| (1..=MAX_ADDRESS_BYTES).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    Ok(Notify {
        cluster: object
            .text("cluster", "the name of a cluster", |text| (1..=MAX_ADDRESS_BYTES).contains(&text.len()))?,
        format: match object.choice("format", &["alertmanager", "webhook"], 0)? {
            0 => Format::Alertmanager,
            _ => Format::Webhook,
        },
        path: object
            .optional_text("path", "a path such as /api/v2/alerts", |text| is_address(text) && text.starts_with('/'))?,
        host: object.optional_text("host", "a host such as alertmanager.monitoring:9093", is_address)?,
        timeout,
        retries: object.whole("retries", 0, 10, default.retries)?,
        one_in: object.whole("oneIn", 1, 10_000, default.one_in)?,
        labels: labels(object)?,
    })
}

fn labels(object: &mut Object<'_, '_>) -> Result<Vec<(String, String)>, ConfigError> {
    let Some(labels) = object.value("labels", "an object", Value::as_object)? else { return Ok(Vec::new()) };
    let is_name = |name: &str| {
        name.len() <= MAX_LABEL_BYTES
            && name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    let is_text = |value: &Value| value.as_str().is_some_and(|text| (1..=MAX_LABEL_BYTES).contains(&text.len()));
    for (name, value) in labels {
        let wanted = if !is_name(name) {
            "a name of letters, digits and _"
        } else if OWN_LABELS.contains(&name.as_str()) {
            "none of the labels that the filter sets itself"
        } else if !is_text(value) {
            "a text of up to 256 bytes"
        } else {
            continue;
        };
        return Err(object.error("labels", &format!("{name}: {}", described(value)), wanted));
    }
    if labels.len() > MAX_LABELS {
        return Err(object.error("labels", &format!("{} labels", labels.len()), "at most 16"));
    }
    let mut labels: Vec<(String, String)> =
        labels.iter().map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().to_owned())).collect();
    order::sort(&mut labels, |(a, _), (b, _)| a < b);
    // Of a label that is there twice the last value counts, as everywhere.
    labels.dedup_by(|again, label| {
        let is_same = again.0 == label.0;
        if is_same {
            std::mem::swap(again, label);
        }
        is_same
    });
    Ok(labels)
}

fn traffic(object: &mut Object<'_, '_>) -> Result<Traffic, ConfigError> {
    Ok(Traffic { sample: object.whole("sample", 1, 1_000, Traffic::default().sample)? })
}

fn limits(object: &mut Object<'_, '_>) -> Result<Limits, ConfigError> {
    let default = Limits::default();
    Ok(Limits {
        endpoints: object.whole("endpoints", 1, 1_000_000, default.endpoints)?,
        series: object.whole("series", 16, 1_000_000, default.series)?,
        events_per_second: object.whole("eventsPerSecond", 1, 10_000, default.events_per_second)?,
    })
}

/// A JSON object that is being read; fields that nothing asks for are unknown.
struct Object<'v, 'u> {
    path: String,
    fields: &'v [(String, Value)],
    known: Vec<&'static str>,
    unknown: &'u mut Vec<String>,
}

type Part<T> = fn(&mut Object<'_, '_>) -> Result<T, ConfigError>;

impl<'v> Object<'v, '_> {
    /// Takes a field out of the object; `null` counts as absent.
    fn take(&mut self, name: &'static str) -> Option<&'v Value> {
        self.known.push(name);
        json::member(self.fields, name).filter(|value| **value != Value::Null)
    }

    fn path_of(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    fn error(&self, name: &str, got: &str, wanted: &str) -> ConfigError {
        ConfigError { path: self.path_of(name), problem: format!("got {got}, wanted {wanted}") }
    }

    /// Reads a field with `read`, if it is present; the error says what was `wanted`.
    fn value<T>(
        &mut self,
        name: &'static str,
        wanted: &str,
        read: impl FnOnce(&'v Value) -> Option<T>,
    ) -> Result<Option<T>, ConfigError> {
        let Some(value) = self.take(name) else { return Ok(None) };
        read(value).map(Some).ok_or_else(|| self.error(name, &described(value), wanted))
    }

    fn whole(&mut self, name: &'static str, from: u32, to: u32, default: u32) -> Result<u32, ConfigError> {
        let read = |value: &Value| u32::try_from(value.as_u64()?).ok().filter(|number| (from..=to).contains(number));
        let wanted = format!("a whole number from {from} to {to}");
        Ok(self.value(name, &wanted, read)?.unwrap_or(default))
    }

    fn flag(&mut self, name: &'static str) -> Result<bool, ConfigError> {
        Ok(self.value(name, "true or false", Value::as_bool)?.unwrap_or(false))
    }

    fn share(&mut self, name: &'static str, default: f64) -> Result<f64, ConfigError> {
        let read = |value: &Value| value.as_f64().filter(|share| *share > 0.0 && *share <= 1.0);
        Ok(self.value(name, "a share above 0 and up to 1", read)?.unwrap_or(default))
    }

    fn duration(&mut self, name: &'static str, default: Duration) -> Result<Duration, ConfigError> {
        let wanted = "a duration such as \"500ms\", \"30s\", \"5m\" or \"1h\", from 1ms to 8760h";
        let read = |value: &Value| Duration::parse(value.as_str()?).ok();
        Ok(self.value(name, wanted, read)?.unwrap_or(default))
    }

    /// Reads a text that must be present and valid.
    fn text(
        &mut self,
        name: &'static str,
        wanted: &str,
        is_good: impl FnOnce(&str) -> bool,
    ) -> Result<String, ConfigError> {
        let text = self.value(name, wanted, |value| value.as_str().filter(|text| is_good(text)))?;
        text.map(str::to_owned).ok_or_else(|| self.error(name, "nothing", wanted))
    }

    /// Reads a text that must be valid if it is present.
    fn optional_text(
        &mut self,
        name: &'static str,
        wanted: &str,
        is_good: impl FnOnce(&str) -> bool,
    ) -> Result<Option<String>, ConfigError> {
        let text = self.value(name, wanted, |value| value.as_str().filter(|text| is_good(text)))?;
        Ok(text.map(str::to_owned))
    }

    /// Reads one of a set of words: its place among them, or `default` if the field is absent.
    #[inline(never)]
    fn choice(&mut self, name: &'static str, words: &[&str], default: usize) -> Result<usize, ConfigError> {
        let wanted = format!("one of {}", joined(words, ", "));
        let read = |value: &Value| {
            let text = value.as_str()?;
            words.iter().position(|word| *word == text)
        };
        Ok(self.value(name, &wanted, read)?.unwrap_or(default))
    }

    fn object<T>(&mut self, name: &'static str, part: Part<T>) -> Result<Option<T>, ConfigError> {
        let Some(fields) = self.value(name, "an object", Value::as_object)? else { return Ok(None) };
        let path = self.path_of(name);
        read_part(path, fields, self.unknown, part).map(Some)
    }

    fn list<T>(&mut self, name: &'static str, part: Part<T>) -> Result<Vec<T>, ConfigError> {
        let items = self.value(name, "a list", Value::as_list)?.unwrap_or_default();
        let mut list = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            let path = format!("{}[{index}]", self.path_of(name));
            let Some(fields) = item.as_object() else {
                return Err(ConfigError { path, problem: format!("got {}, wanted an object", described(item)) });
            };
            list.push(read_part(path, fields, self.unknown, part)?);
        }
        Ok(list)
    }

    /// Records the fields that nothing asked for as unknown.
    fn finish(self) {
        let names = self.fields.iter().map(|(name, _)| name);
        let mut unknown: Vec<&String> = names.filter(|name| !self.known.contains(&name.as_str())).collect();
        order::sort(&mut unknown, |a, b| a < b);
        unknown.dedup();
        let unknown: Vec<String> = unknown.into_iter().map(|name| self.path_of(name)).collect();
        self.unknown.extend(unknown);
    }
}

fn read_part<T>(
    path: String,
    fields: &[(String, Value)],
    unknown: &mut Vec<String>,
    part: Part<T>,
) -> Result<T, ConfigError> {
    let mut object = Object { path, fields, known: Vec::new(), unknown };
    let read = part(&mut object)?;
    object.finish();
    Ok(read)
}

/// The length from which a value is not shown in an error.
const LONG: usize = 60;

/// A value in the short form in which an error shows it.
fn described(value: &Value) -> String {
    match value {
        Value::Null => "null".into(),
        Value::Bool(is) => is.to_string(),
        Value::Number(number) if number.len() > LONG => "a long number".into(),
        Value::Number(number) => number.clone(),
        Value::Text(text) if text.chars().count() > LONG => "a long text".into(),
        Value::Text(text) => json::quoted(text),
        Value::List(_) => "a list".into(),
        Value::Object(_) => "an object".into(),
    }
}
