//! Matches that wait for a missing event at the end: their bound, and what a window that is forgotten
//! says of them.

use super::*;
use crate::model::Value;

const ABSENCE: &str = "sequence with maxspan=1s [A where true] ![B where true]";

/// What a window waits for may still come when it is forgotten: that it did not is not said.
#[test]
fn a_window_that_is_forgotten_says_nothing_of_what_may_still_come() {
    let config = MatcherConfig { windows_max: 1, lateness_ms: 5_000, ..NONE_MADE_UP };
    for keys in [VISITOR, FINAL] {
        let mut run = Run::new(&[(ABSENCE, keys)], config);
        for number in 0..600 {
            run.event(&Sample::new("A", 0).visit(number).visitor(number));
        }
        run.mark(1_000);
        let stats = run.wide.stats();
        assert!(stats.windows_forgotten >= 600 - 256);
        assert_eq!(stats.stage.absences_dropped, stats.windows_forgotten);
        assert!(run.matches().is_empty());
        run.mark(6_001);
        assert_eq!(run.matches().len() as u64, 600 - stats.windows_forgotten);
        let stats = run.wide.stats();
        assert_eq!((stats.windows_open, stats.events_waiting, stats.stage.state_bytes), (0, 0, 0));
    }
}

/// What the watermark has passed is said, and what an event decided, though it is not final.
#[test]
fn a_window_that_is_forgotten_says_what_is_known() {
    let config = MatcherConfig { windows_max: 1, lateness_ms: 5_000, ..NONE_MADE_UP };
    for (query, keys) in [(ABSENCE, VISITOR), (ABSENCE, FINAL), ("A where true", FINAL)] {
        let mut run = Run::new(&[(query, keys)], config);
        run.mark(1_001);
        for number in 0..600 {
            run.event(&Sample::new("A", 0).visit(number).visitor(number));
        }
        run.mark(1_001);
        let forgotten = run.wide.stats().windows_forgotten;
        assert!(forgotten >= 600 - 256);
        let said = if keys == VISITOR { 600 } else { forgotten };
        assert_eq!(run.matches().len() as u64, said, "{query} {keys}");
        run.mark(9_000);
        assert_eq!((run.matches().len(), run.wide.stats().stage.absences_dropped), (600, 0));
    }
}

/// The bound over all keys, where there are many: each is said once, and none is left behind.
#[test]
fn a_site_has_as_many_absences_of_a_rule_as_its_bound_says() {
    let query = "sequence by data.k with maxspan=1s [A where true] ![B where true]";
    for (rule_absences_max, more) in [(40, ""), (1, "state_max = 40")] {
        let config = MatcherConfig { rule_absences_max, ..NONE_MADE_UP };
        for emit in ["early", "final"] {
            let keys = format!("window = \"site\"\nfire = \"every\"\nemit = \"{emit}\"\n{more}");
            let mut run = Run::new(&[(query, &keys)], config);
            for number in 0..50 {
                run.event(&Sample::new("A", number).data("k", Value::Int(number)));
            }
            run.event(&Sample::new("B", 60).data("k", Value::Int(7))).mark(170);
            assert_eq!(run.wide.stats().stage.absences_refused, 10);
            run.event(&Sample::new("A", 400).data("k", Value::Int(100))).mark(10_000);
            let said = run.matches();
            assert_eq!((said.len(), &*said[0], &*said[39]), (40, &[1][..], &[52][..]), "{keys}");
            assert!(!said.contains(&vec![8]));
            assert_eq!(run.wide.stats().stage.state_bytes, 0);
        }
    }
}
