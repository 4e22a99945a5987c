//! Tests of what an attempt counts as: the whole table of Envoy's router and outlier detector, on a real Envoy, with
//! and without split mode and for each streak, and whether the filter agrees with it in both of its positions.

use crate::readout::DetectorInput::{Answered, Connected, Failed};
use crate::readout::{Ask, Position, Row, play};
use anyhow::Result;
use lab::endpoints::Behaviour;
use serde_json::{Value, json};

/// The connection was established, and an answer with this status arrived.
fn answer(name: &'static str, does: Behaviour, status: u16, outcome: &'static str) -> Row {
    Row::new(name, does, status, outcome).with_inputs(&[Connected, Answered(status)])
}

/// The client gets no complete answer.
fn broken(row: Row) -> Row {
    Row { status: None, ..row }
}

fn http2() -> Value {
    protocol(json!({ "explicit_http_config": { "http2_protocol_options": {} } }))
}

fn protocol(options: Value) -> Value {
    let kind = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
    let mut typed = json!({ "@type": format!("type.googleapis.com/{kind}") });
    for (field, value) in options.as_object().into_iter().flatten() {
        typed[field] = value.clone();
    }
    json!({ "typed_extension_protocol_options": { kind: typed } })
}

/// Long enough to connect on any machine.
const TIMEOUT: &str = "1.2s";

fn answers() -> Vec<Row> {
    use Behaviour::{Answer, EarlyHints, SwitchProtocols};
    let upgrade = Ask::With(&[("connection", "upgrade"), ("upgrade", "websocket")]);
    vec![
        answer("200", Answer(200), 200, "success"),
        answer("404", Answer(404), 404, "success"),
        answer("429", Answer(429), 429, "success"),
        answer("500", Answer(500), 500, "5xx"),
        answer("501", Answer(501), 501, "5xx"),
        answer("599", Answer(599), 599, "5xx"),
        answer("502", Answer(502), 502, "gateway_error"),
        answer("503", Answer(503), 503, "gateway_error"),
        answer("504", Answer(504), 504, "gateway_error"),
        answer("600", Answer(600), 600, "success"),
        answer("103, then 500", EarlyHints(500), 500, "5xx"),
        answer("103, then 200", EarlyHints(200), 200, "success"),
        Row { ask: upgrade, ..answer("101", SwitchProtocols, 101, "success") },
    ]
}

fn timeouts() -> Vec<Row> {
    use Behaviour::{Hang, HoldBody, Ignore};
    let timed_out = [Connected, Failed(504)];
    // Envoy accepts such headers only from internal callers; `x-forwarded-for` makes the caller one.
    let alt = Ask::With(&[("x-forwarded-for", "127.0.0.1"), ("x-envoy-upstream-rq-timeout-alt-response", "1")]);
    let begun = [Connected, Answered(200)];
    let too_long = protocol(json!({
        "explicit_http_config": { "http_protocol_options": {} },
        "common_http_protocol_options": { "max_stream_duration": "3s" },
    }));
    vec![
        Row::new("the route's timeout", Hang, 504, "local_origin")
            .with_inputs(&timed_out)
            .route(json!({ "timeout": TIMEOUT })),
        Row::new("the route's timeout before the connection was established", Ignore, 504, "not_charged")
            .route(json!({ "timeout": TIMEOUT })),
        broken(
            answer("the route's timeout after headers", HoldBody, 200, "success").route(json!({ "timeout": TIMEOUT })),
        ),
        Row { ask: alt, ..Row::new("a timeout that is to be a 204", Hang, 204, "local_origin") }
            .with_inputs(&[Connected, Failed(204)])
            .route(json!({ "timeout": TIMEOUT })),
        Row::new("a try's timeout", Hang, 504, "local_origin")
            .with_inputs(&timed_out)
            .route(json!({ "retry_policy": { "per_try_timeout": TIMEOUT, "num_retries": 0 } })),
        Row::new("a try's idle timeout", Hang, 504, "local_origin")
            .with_inputs(&timed_out)
            .route(json!({ "retry_policy": { "per_try_idle_timeout": TIMEOUT, "num_retries": 0 } })),
        broken(Row::new("a try's idle timeout after headers", HoldBody, 200, "local_origin"))
            .with_inputs(&[begun[0], begun[1], Failed(504)])
            .route(json!({ "retry_policy": { "per_try_idle_timeout": TIMEOUT, "num_retries": 0 } })),
        Row::new("a stream that lasts too long", Hang, 504, "not_charged").with_inputs(&[Connected]).cluster(too_long),
        Row::new("a request that lasts too long", Hang, 504, "not_charged")
            .with_inputs(&[Connected])
            .route(json!({ "max_stream_duration": { "max_stream_duration": TIMEOUT } })),
    ]
}

fn resets() -> Vec<Row> {
    use Behaviour::{Babble, CloseBeforeHeaders, Hang, HoldBody, Ignore, Refuse, ResetAfterHeaders, ResetOnRequest};
    let lost = [Connected, Failed(503)];
    let row = |name, does| Row::new(name, does, 503, "local_origin");
    vec![
        row("connection refused", Refuse).with_inputs(&[Failed(503)]),
        row("connect timeout", Ignore).with_inputs(&[Failed(503)]).cluster(json!({ "connect_timeout": "2s" })),
        row("reset before headers", ResetOnRequest).with_inputs(&lost),
        row("stream reset before headers", ResetOnRequest).with_inputs(&lost).cluster(http2()),
        row("connection closed before headers", CloseBeforeHeaders).with_inputs(&lost),
        broken(row("reset after headers", ResetAfterHeaders)).with_inputs(&[Connected, Answered(200), Failed(503)]),
        Row { status: Some(502), ..row("protocol error", Babble) }.with_inputs(&lost),
        Row { ask: Ask::AndLeave, ..Row::new("the client leaves", Hang, 0, "not_charged") }.with_inputs(&[Connected]),
        Row { ask: Ask::AndLeave, ..answer("the client leaves after headers", HoldBody, 200, "success") },
    ]
}

fn nobodys_fault() -> Vec<Row> {
    let closed = json!({ "circuit_breakers": { "thresholds": [
        { "priority": "HIGH", "max_requests": 0, "max_pending_requests": 0 },
    ] } });
    let subsets = json!({ "lb_subset_config": {
        "fallback_policy": "ANY_ENDPOINT",
        "subset_selectors": [{ "keys": ["version"], "fallback_policy": "NO_FALLBACK" }],
    } });
    let none = json!({ "metadata_match": { "filter_metadata": { "envoy.lb": { "version": "none" } } } });
    let ok = Behaviour::Answer(200);
    vec![
        // No endpoint is known, so the attempt is not counted.
        Row { outcomes: vec![], ..Row::new("circuit breaker", ok, 503, "") }
            .cluster(closed)
            .route(json!({ "priority": "HIGH" })),
        Row {
            outcomes: vec![],
            no_healthy_upstream: true,
            ..Row::new("no healthy upstream", ok, 503, "").cluster(subsets).route(none)
        },
        Row { outcomes: vec![], ..Row::new("direct response", ok, 503, "") }
            .route(json!({ "direct_response": { "status": 503 } })),
    ]
}

fn grpc() -> Vec<Row> {
    use Behaviour::{Answer, GrpcAtOnce, GrpcInTrailers};
    let row = |name, does, status, outcome| Row {
        ask: Ask::With(&[("content-type", "application/grpc"), ("te", "trailers")]),
        ..Row::new(name, does, 200, outcome).with_inputs(&[Connected, Answered(status)]).cluster(http2())
    };
    vec![
        row("gRPC: 0 at once", GrpcAtOnce(0), 200, "success"),
        row("gRPC: UNKNOWN at once", GrpcAtOnce(2), 500, "5xx"),
        row("gRPC: DEADLINE_EXCEEDED at once", GrpcAtOnce(4), 504, "gateway_error"),
        row("gRPC: NOT_FOUND at once", GrpcAtOnce(5), 404, "success"),
        row("gRPC: UNIMPLEMENTED at once", GrpcAtOnce(12), 501, "5xx"),
        row("gRPC: UNAVAILABLE at once", GrpcAtOnce(14), 503, "gateway_error"),
        row("gRPC: UNAVAILABLE in trailers", GrpcInTrailers(14), 200, "success"),
        Row { status: Some(503), ..row("gRPC: 503 without a status", Answer(503), 503, "gateway_error") },
    ]
}

/// Rows that only the upstream log can show, because there was more than one attempt.
fn several_attempts() -> Vec<Row> {
    let policy = |more: Value| {
        let mut policy = json!({ "retry_on": "5xx", "num_retries": 1 });
        for (field, value) in more.as_object().into_iter().flatten() {
            policy[field] = value.clone();
        }
        policy
    };
    let (late, failed) = (Failed(504), Answered(503));
    vec![
        Row { outcomes: vec!["gateway_error"; 2], ..answer("a retried 503", Behaviour::Answer(503), 503, "") }
            .with_inputs(&[Connected, failed, Connected, failed])
            .route(json!({ "retry_policy": policy(json!({})) })),
        Row { outcomes: vec!["local_origin"; 2], ..Row::new("a retried refusal", Behaviour::Refuse, 503, "") }
            .with_inputs(&[Failed(503), Failed(503)])
            .route(json!({ "retry_policy": policy(json!({})) })),
        // Both end with the route's timeout; no log shows when the first was reported to the detector.
        Row {
            outcomes: vec!["local_origin"; 2],
            hides_order: true,
            ..Row::new("hedged tries", Behaviour::Hang, 504, "")
        }
        .with_inputs(&[Connected, late, Connected, late])
        .route(json!({
            "retry_policy": policy(json!({ "per_try_timeout": TIMEOUT })),
            "hedge_policy": { "hedge_on_per_try_timeout": true },
            "timeout": "3s",
        })),
    ]
}

fn single_attempts() -> Vec<Row> {
    [answers(), timeouts(), resets(), nobodys_fault(), grpc()].concat()
}

fn assert_agreement(rows: &[Row], position: Position) -> Result<()> {
    let wrong = play(rows, position)?;
    assert!(wrong.is_empty(), "{} of {} rows in 5 readings each:\n{}", wrong.len(), rows.len(), wrong.join("\n"));
    Ok(())
}

#[test]
fn final_attempts_are_charged_as_envoy_charges_them() -> Result<()> {
    assert_agreement(&single_attempts(), Position::HttpFilter)
}

#[test]
fn attempts_in_the_upstream_log_are_charged_as_envoy_charges_them() -> Result<()> {
    assert_agreement(&[single_attempts(), several_attempts()].concat(), Position::UpstreamLog)
}
