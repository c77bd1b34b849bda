//! Cases and data sets as they lie in their files.

use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// One case.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) suite: String,
    pub(crate) name: String,
    pub(crate) query: String,
    pub(crate) dataset: String,
    pub(crate) size: Option<usize>,
    /// Each match as ids of its events.
    pub(crate) expected: Vec<Vec<i64>>,
    alternatives: Vec<Vec<Vec<i64>>>,
}

impl Case {
    /// Whether these matches are what the case expects.
    pub(crate) fn accepts(&self, found: &[Vec<i64>]) -> bool {
        self.expected == found || self.alternatives.iter().any(|other| other == found)
    }
}

/// Every case that has events.
pub(crate) fn read(folder: &Path) -> Vec<Case> {
    let text = std::fs::read_to_string(folder.join("cases.jsonl")).expect("cases.jsonl");
    let parsed = text.lines().map(|line| serde_json::from_str(line).expect("a JSON object"));
    parsed.filter(|case: &Value| case["dataset"].is_string()).map(|case| read_case(&case)).collect()
}

fn read_case(case: &Value) -> Case {
    let text = |name: &str| case[name].as_str().unwrap_or_default().to_owned();
    let alternatives = case["expected_alternatives"].as_array();
    Case {
        suite: text("suite"),
        name: text("name"),
        query: text("query"),
        dataset: text("dataset"),
        size: case["size"].as_u64().and_then(|size| usize::try_from(size).ok()),
        expected: matches(&case["expected_event_ids"]),
        alternatives: alternatives.map_or_else(Vec::new, |all| all.iter().map(matches).collect()),
    }
}

/// Event queries list ids, sequences list lists of ids.
fn matches(ids: &Value) -> Vec<Vec<i64>> {
    let id = |id: &Value| id.as_i64().expect("a whole number");
    let each = |one: &Value| match one {
        Value::Array(ids) => ids.iter().map(id).collect(),
        one => vec![id(one)],
    };
    ids.as_array().map_or_else(Vec::new, |all| all.iter().map(each).collect())
}

/// Events, and the source mapping that reads them.
#[derive(Debug)]
pub(crate) struct Dataset {
    pub(crate) file: PathBuf,
    pub(crate) mapping: String,
}

impl Dataset {
    /// Finds a data set and writes a mapping for it.
    pub(crate) fn read(folder: &Path, name: &str) -> Self {
        let all = json(&folder.join("datasets/datasets.json"));
        let about = &all[name];
        let path = |key: &str| folder.join(about[key].as_str().expect("a path"));
        let file = path("file");
        let declared = json(&path("mapping"));
        let types = types(&std::fs::read_to_string(&file).expect("events"), &declared);
        Self { mapping: mapping(about, &types), file }
    }
}

fn json(file: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(file).expect("a file")).expect("JSON")
}

/// Declared types, and for the rest that of the first value.
fn types(events: &str, declared: &Value) -> BTreeMap<String, &'static str> {
    let mut types = BTreeMap::new();
    for line in events.lines() {
        let event: BTreeMap<String, Value> = serde_json::from_str(line).expect("an object");
        for (name, value) in event {
            let kind = declared["properties"][&name]["type"].as_str();
            let kind = match (kind, value) {
                (Some("long"), _) | (None, Value::Number(_)) => "integer",
                (Some("date"), _) => "date",
                (None, Value::Bool(_)) => "boolean",
                _ => "string",
            };
            types.entry(name).or_insert(kind);
        }
    }
    for (name, about) in declared["properties"].as_object().expect("properties") {
        let kind = if about["type"] == "long" { "integer" } else { "string" };
        types.entry(name.clone()).or_insert(kind);
    }
    types
}

fn mapping(about: &Value, types: &BTreeMap<String, &str>) -> String {
    let text = |key: &str| about[key].as_str().expect("a field's name");
    let mut mapping = format!(
        "format = \"ndjson\"\nevent_name = \"{}\"\nwindow_key = {{ constant = \"all\" }}\n\
         id = \"{}\"\ntie = \"{}\"\ninactivity = \"none\"\n\n[time]\nfield = \"{}\"\n\
         format = \"iso8601\"\n\n[fields]\n",
        text("event_category_field"),
        text("id_field"),
        text("tiebreaker_field"),
        text("timestamp_field"),
    );
    for (name, kind) in types {
        writeln!(mapping, "\"{name}\" = \"{kind}\"").expect("a string takes all");
    }
    mapping
}
