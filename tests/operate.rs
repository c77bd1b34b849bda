//! What lies in `examples/operate` is about this server: its metrics, its configuration.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/operate")
}

fn read(name: &str) -> String {
    std::fs::read_to_string(folder().join(name)).expect("a file")
}

/// The names of metrics in a text, without what a histogram adds.
fn metrics(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let names = words.filter(|word| word.starts_with("beckon_"));
    names.map(|name| name.strip_suffix("_bucket").unwrap_or(name)).collect()
}

/// Where metrics are registered, by name without prefix and `_total`.
fn registered() -> BTreeSet<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders = ["src", "ingest/src"].map(|folder| root.join(folder)).to_vec();
    let mut names = BTreeSet::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("the sources") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).expect("text");
            names.extend(text.split('"').skip(1).step_by(2).map(str::to_owned));
        }
    }
    names
}

#[test]
fn dashboard_and_alerts_name_metrics_that_there_are() {
    let known = registered();
    for name in ["dashboard.json", "alerts.yml"] {
        let text = read(name);
        let used = metrics(&text);
        assert!(used.len() > 10, "{name}: {used:?}");
        for metric in used.iter().filter(|metric| **metric != "beckon_engine_") {
            let bare = metric.trim_start_matches("beckon_").trim_end_matches("_total");
            // A unit is added where the metric is registered.
            let is_known =
                |name: &str| known.contains(name) || known.contains(&format!("beckon_{name}"));
            assert!(
                is_known(bare) || is_known(bare.trim_end_matches("_seconds")),
                "{name}: {metric} is no metric"
            );
        }
    }
    let dashboard: serde_json::Value = serde_json::from_str(&read("dashboard.json")).expect("JSON");
    assert!(dashboard["panels"].as_array().is_some_and(|panels| panels.len() >= 12));
}

/// The bounds that an alert names in a pattern.
#[test]
fn the_bounds_of_an_alert_are_metrics() {
    let (text, known) = (read("alerts.yml"), registered());
    let pattern = text.split("beckon_engine_(").nth(1).and_then(|rest| rest.split(')').next());
    for name in pattern.expect("the pattern").split('|') {
        let full = format!("engine_{name}");
        assert!(known.contains(&full) || known.contains(name), "{name} is no metric");
    }
}

/// As compose starts it: the example's configuration with the variables of image and service.
#[test]
fn the_example_of_a_configuration_is_one() {
    let text = read("compose.yml") + &read("Dockerfile");
    let mut command = Command::new(env!("CARGO_BIN_EXE_beckon"));
    command.args(["config", "--config"]).arg(folder().join("beckon.toml"));
    let mut count = 0;
    for name in ["TLS", "TRUSTED_PROXIES", "DATA", "LISTEN", "LOG_FORMAT"] {
        let variable = format!("BECKON_SERVER__{name}");
        let value = text.split(&variable).nth(1).and_then(|rest| rest.lines().next());
        let value = value.expect("named").trim_start_matches([':', '=', ' ']);
        command.env(variable, value.trim_end_matches('\\').trim().trim_matches('\''));
        count += 1;
    }
    let output = command.output().expect("the binary");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(said.matches("environment").count(), count, "{said}");
}
