//! Rules on other windows than the visit.

use super::{line, replay, write};
use serde_json::Value;

/// A rule over several visits shows the events of those that ended, too.
#[test]
fn an_example_has_the_events_of_other_visits() {
    let folder = tempfile::tempdir().expect("a folder");
    let on_day = |day: u8| line(0, 7, "/").replace("17/May", &format!("0{day}/May"));
    let log = write(&folder, "access.log", &(1..=3).map(on_day).collect::<String>());
    let rule = "name = \"third-visit\"\nwindow = \"visitor\"\n\
                query = 'sequence with maxspan=30d [VisitStarted where true] with runs=3'\n\
                [action]\ntype = \"none\"\n";
    write(&folder, "visits/com.example.visits/third-visit.toml", rule);
    let rules = folder.path().join("visits");
    let result = replay(&[&log, "--rules", rules.to_str().expect("UTF-8")]);
    assert_eq!(result["totals"]["visits"], 3);
    let rule = &result["rules"][0];
    assert_eq!((&rule["fired"], &rule["visitorsIsLowerBound"]), (&1.into(), &false.into()));
    let events = rule["example"]["events"].as_array().expect("events");
    let time = |event: &Value| event["timestamp"].as_str().expect("a time").to_owned();
    let times: Vec<_> = events.iter().map(time).collect();
    let expected = [1, 2, 3].map(|day| format!("2015-05-0{day}T00:00:00Z"));
    assert_eq!(times, expected);
    assert!(events.iter().all(|event| event["eventName"] == "VisitStarted"), "{events:?}");
}
