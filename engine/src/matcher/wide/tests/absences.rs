//! Matches that wait for a missing event at the end, and their bound.

use super::*;
use crate::model::Value;

/// The bound over all keys, where there are many: each is said once, and none is left behind.
#[test]
fn a_site_has_as_many_absences_of_a_rule_as_its_bound_says() {
    let query = "sequence by data.k with maxspan=1s [A where true] ![B where true]";
    let limited = MatcherConfig { rule_absences_max: 40, ..NONE_MADE_UP };
    for (config, more) in [(limited, ""), (NONE_MADE_UP, "state_max = 40")] {
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
