//! The public Apache sample, if it lies beside the project, against the README and against its lines.

use super::beside::beside;
use super::replay;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

#[test]
fn the_public_apache_sample() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let Some(log) = beside("data/elastic_apache_logs.log") else { return };
    let bytes = std::fs::read(&log).expect("it is there");
    let rules = root.join("examples/access-log/rules");
    let text = |path: &Path| path.to_str().expect("UTF-8").to_owned();
    let result = replay(&[&text(&log), "--rules", &text(&rules)]);
    let whole = String::from_utf8_lossy(&bytes);
    let lines = whole.lines().filter(|line| line.split('"').count() >= 7);
    assert_eq!(result["totals"]["events"], lines.count());
    assert_eq!(result["totals"]["badLines"], 1);
    assert_eq!(result["totals"]["visits"], visits_of(&whole));
    let mut rows: Vec<_> =
        result["rules"].as_array().expect("rules").iter().map(fired_row).collect();
    rows.sort_by_key(|(rule, fired, _)| (std::cmp::Reverse(*fired), rule.clone()));
    assert_eq!(rows, rows_of_the_readme(&root.join("README.md")));
}

/// Rule, matches, visitors.
type FiredRow = (String, u64, u64);

fn fired_row(rule: &Value) -> FiredRow {
    let number = |name: &str| rule[name].as_u64().expect("a number");
    (rule["rule"].as_str().expect("a name").to_owned(), number("fired"), number("visitors"))
}

/// What the README says that the rules found in the sample.
fn rows_of_the_readme(readme: &Path) -> Vec<FiredRow> {
    let text = std::fs::read_to_string(readme).expect("it is there");
    let lines = text.lines().skip_while(|line| !line.starts_with("rule  ")).skip(1);
    let rows: Vec<_> = lines
        .take_while(|line| *line != "```")
        .map(|line| {
            let words: Vec<_> = line.split_whitespace().collect();
            let [rule, _kind, matches, visitors] = words[..] else { panic!("{line}") };
            let number = |word: &str| word.parse().expect("a number");
            (rule.to_owned(), number(matches), number(visitors))
        })
        .collect();
    assert_eq!(rows.len(), 8, "{rows:?}");
    rows
}

/// Visits of whole lines: an address with an agent, and no gap of more than half an hour.
fn visits_of(log: &str) -> u64 {
    let mut times: BTreeMap<(String, String), Vec<u64>> = BTreeMap::new();
    for line in log.lines() {
        let quoted: Vec<&str> = line.split('"').collect();
        let (Some(agent), 7..) = (quoted.get(5), quoted.len()) else { continue };
        let host = line.split(' ').next().expect("a word").to_owned();
        // Days of one month and seconds of the day are all that tells these lines apart.
        let time = line.split(['[', ']']).nth(1).expect("a time");
        let day: u64 = time.split('/').next().expect("a day").parse().expect("a number");
        let clock = time.split(':').skip(1).map(|part| part.split(' ').next().expect("a number"));
        let seconds = clock.fold(0, |sum, part| sum * 60 + part.parse::<u64>().expect("a number"));
        times.entry((host, (*agent).to_owned())).or_default().push(day * 86_400 + seconds);
    }
    let mut visits = 0;
    for times in times.values_mut() {
        times.sort_unstable();
        visits += 1 + times.windows(2).filter(|pair| pair[1] - pair[0] > 1_800).count() as u64;
    }
    visits
}
