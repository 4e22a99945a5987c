//! What becomes of the readers when answers are damaged.

use super::recorded::{CLUSTERS_1_40, DYNAMIC_ENDPOINTS, DYNAMIC_RULES_1_40, STATIC_ENDPOINTS, STATIC_RULES};
use super::{endpoint_configs, host_lists, rules, stats};

/// Counts of ejections.
const STATS: &str = r#"{"stats": [
    {"name": "cluster.a.outlier_detection.ejections_enforced_consecutive_5xx", "value": 2},
    {"name": "cluster.outbound|80||b.c;.outlier_detection.ejections_enforced_total", "value": 3}]}"#;

/// Reads an answer with every reader; returns how many clusters they saw.
fn read_all(answer: &[u8]) -> usize {
    let mut seen = 0;
    let _ = host_lists::read(answer, |name| !name.starts_with('o'), |_, _| seen += 1);
    let _ = endpoint_configs::read(answer, |_| seen += 1);
    let _ = rules::read(answer, |rule| {
        let detection = rule.rule.outlier_detection();
        assert!(detection.max_ejection_percent <= 100 && detection.min_health_percent <= 100);
        assert!(detection.consecutive5xx_errors > 0 || rule.rule.ejects);
        seen += 1;
    });
    seen + stats::read(answer).map_or(0, |counts| counts.len())
}

/// A xorshift generator: the same numbers in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(limit.max(1)).unwrap()).unwrap()
    }
}

/// What damaged answers get in place of some bytes.
const SHREDS: [&str; 14] =
    ["", "\"", "{", "}", "[", "]", ",", ":", "\\", "\0", "null", "-1", "1e999", "99999999999999999999"];

#[test]
fn damaged_answers_are_read_as_far_as_possible() {
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    for answer in [CLUSTERS_1_40, DYNAMIC_ENDPOINTS, STATIC_ENDPOINTS, DYNAMIC_RULES_1_40, STATIC_RULES, STATS] {
        let whole = read_all(answer.as_bytes());
        assert!(whole > 0);
        for _ in 0..150 {
            let cut = numbers.below(answer.len());
            assert!(read_all(&answer.as_bytes()[..cut]) <= whole, "cut at {cut}");
            let mut damaged = answer.as_bytes().to_vec();
            for _ in 0..=numbers.below(4) {
                let from = numbers.below(damaged.len());
                let to = (from + numbers.below(9)).min(damaged.len());
                damaged.splice(from..to, SHREDS[numbers.below(SHREDS.len())].bytes());
            }
            read_all(&damaged);
        }
    }
}

#[test]
fn deep_and_huge_answers_come_to_an_end() {
    for list in ["cluster_statuses", "configs", "stats"] {
        for (open, close) in [("[", "]"), (r#"{"a":"#, "}"), (r#"{"cluster":{"outlier_detection":"#, "}}")] {
            let nested = format!("{}1{}", open.repeat(20_000), close.repeat(20_000));
            read_all(format!(r#"{{"x": {nested}, "{list}": [{nested}]}}"#).as_bytes());
            read_all(format!(r#"{{"{list}": [{}"#, open.repeat(20_000)).as_bytes());
        }
        let hosts = format!(r#"{{"name": "a", "host_statuses": [{}5]}}"#, "null,".repeat(200_000));
        read_all(format!(r#"{{"{list}": [{hosts}]}}"#).as_bytes());
    }
}

#[test]
fn an_answer_to_another_question_shows_nothing() {
    let mut seen = 0;
    host_lists::read(DYNAMIC_RULES_1_40.as_bytes(), |_| true, |_, _| seen += 1).unwrap();
    endpoint_configs::read(DYNAMIC_RULES_1_40.as_bytes(), |_| seen += 1).unwrap();
    let unreadable = rules::read(DYNAMIC_ENDPOINTS.as_bytes(), |_| seen += 1);
    assert_eq!((seen, unreadable), (0, Ok(8)));
}
