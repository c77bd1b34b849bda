//! The synthetic shop, if it lies beside the project: its two incidents light up when they were.

use super::beside::beside;
use super::{parquet_files, replay};
use parquet::file::reader::{FileReader, SerializedFileReader};
use std::collections::BTreeMap;
use std::path::Path;
use tempfile::TempDir;

/// What belongs to an incident fires within it, every time.
#[test]
fn the_shops_incidents() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let Some(log) = beside("data/retentioneering_ecom.csv.gz") else { return };
    let text = |path: &Path| path.to_str().expect("UTF-8").to_owned();
    let mapping = text(&root.join("examples/shop/mapping.toml"));
    let rules = text(&root.join("examples/shop/rules"));
    let folder = TempDir::new().expect("a temporary folder");
    let reports = text(folder.path());
    let result =
        replay(&[&text(&log), "--source", &mapping, "--rules", &rules, "--reports", &reports]);
    assert_eq!(result["totals"]["events"], 31_106);
    let fired = fired(&folder.path().join("actions"));
    for (rule, from, to, outside) in [
        ("checkout-broken", "2024-04-09", "2024-05-09", vec![]),
        // The last payments of the file fail on the day after.
        ("payment-failed", "2024-05-19", "2024-06-07", vec![("2024-06-08", 4)]),
    ] {
        let days = by_day(&fired[rule]);
        let (within, others): (Vec<_>, Vec<_>) =
            days.iter().partition(|(day, _)| (from..=to).contains(&day.as_str()));
        assert!(within.len() > 15, "{rule} fired on {within:?}");
        let others: Vec<_> =
            others.into_iter().map(|(day, fired)| (day.as_str(), *fired)).collect();
        assert_eq!(others, outside, "{rule} outside its accident");
        assert_eq!(days, days_of_the_readme(&root.join("README.md"), rule), "{rule}");
    }
}

/// How often on each day, of times that begin with it.
fn by_day(times: &[String]) -> BTreeMap<String, u64> {
    let mut days = BTreeMap::new();
    for time in times {
        *days.entry(time.split(' ').next().expect("a date").to_owned()).or_default() += 1;
    }
    days
}

/// What the README says of a rule, in rows of a week's Monday and its seven days.
fn days_of_the_readme(readme: &Path, rule: &str) -> BTreeMap<String, u64> {
    let text = std::fs::read_to_string(readme).expect("it is there");
    let begins = format!("| {rule} | ");
    let rows = text.lines().filter_map(|line| line.strip_prefix(&begins));
    rows.flat_map(|row| {
        let mut cells = row.trim_end_matches(" |").split(" | ");
        let monday = cells.next().expect("a date").parse().expect("a date");
        let dates =
            std::iter::successors(Some(monday), |day: &jiff::civil::Date| day.tomorrow().ok());
        let days: Vec<_> = dates.zip(cells).filter(|(_, cell)| *cell != "\u{b7}").collect();
        days.into_iter().map(|(day, cell)| (day.to_string(), cell.parse().expect("a number")))
    })
    .collect()
}

/// When each rule fired, by the table `actions`.
fn fired(actions: &Path) -> BTreeMap<String, Vec<String>> {
    let mut fired: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for file in parquet_files(actions) {
        let file = std::fs::File::open(file).expect("it was listed");
        let reader = SerializedFileReader::new(file).expect("a Parquet file");
        for row in reader.get_row_iter(None).expect("rows") {
            let row = row.expect("a row");
            let column = |name: &str| {
                let mut columns = row.get_column_iter();
                let (_, field) = columns.find(|(known, _)| *known == name).expect("a column");
                field.to_string().trim_matches('"').to_owned()
            };
            fired.entry(column("rule")).or_default().push(column("timestamp"));
        }
    }
    fired
}
