//! DuckDB and Spark read the Parquet of a replay; both must count what the replay says.

use super::tools;
use anyhow::Context;
use serde_json::Value;
use std::path::Path;

/// Writes counts as one line of JSON: events, visits opened, asserts by rule.
const DUCKDB: &str = r#"
import duckdb, json, sys
root = sys.argv[1]
def rows(query):
    return duckdb.sql(query).fetchall()
events = rows(f"select count(*) from read_parquet('{root}/events/**/*.parquet', hive_partitioning=true)")[0][0]
visits = rows(f"select count(*) from read_parquet('{root}/visits/**/*.parquet', hive_partitioning=true) where change = 'opened'")[0][0]
rules = rows(f"select rule, count(*) from read_parquet('{root}/actions/**/*.parquet', hive_partitioning=true) where op = 'assert' group by rule")
print(json.dumps({"events": events, "visits": visits, "rules": dict(rules)}, sort_keys=True))
"#;

/// The same by Spark.
const SPARK: &str = r#"
import json, sys
from pyspark.sql import SparkSession
root = sys.argv[1]
spark = (SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false")
         .config("spark.driver.bindAddress", "127.0.0.1").config("spark.driver.host", "127.0.0.1")
         .getOrCreate())
read = lambda table: spark.read.parquet(f"{root}/{table}")
rules = {row["rule"]: row["count"] for row in
         read("actions").where("op = 'assert'").groupBy("rule").count().collect()}
print(json.dumps({"events": read("events").count(),
                  "visits": read("visits").where("change = 'opened'").count(),
                  "rules": rules}, sort_keys=True))
"#;

/// Runs the test.
///
/// # Errors
/// When a reader counts differently, or cannot be had.
pub(crate) fn run(root: &Path, binary: &Path) -> anyhow::Result<()> {
    let python = super::python(root)?;
    tools::program("java", &["default-jre-headless"])?;
    let folder = tempfile::tempdir()?;
    let said = replay(root, binary, folder.path())?;
    anyhow::ensure!(said["rules"].as_object().is_some_and(|rules| !rules.is_empty()), "{said}");
    for (name, script) in [("DuckDB", DUCKDB), ("Spark", SPARK)] {
        let file = folder.path().join("count.py");
        std::fs::write(&file, script)?;
        let reports = folder.path().join("reports");
        let args = [&*file.to_string_lossy(), &*reports.to_string_lossy()].map(str::to_owned);
        let text = tools::run(&python.to_string_lossy(), &[&args[0], &args[1]])?;
        let line = text.lines().last().context("the reader printed nothing")?;
        let counted: Value = serde_json::from_str(line).with_context(|| text.clone())?;
        anyhow::ensure!(counted == said, "{name} counts {counted}, Beckon said {said}");
        crate::say(&format!("{name}: {counted}"));
    }
    Ok(())
}

/// Replays a generated stream and returns what it says, in the readers' form.
fn replay(root: &Path, binary: &Path, folder: &Path) -> anyhow::Result<Value> {
    let program = binary.to_string_lossy();
    let events = tools::run(&program, &["generate", "--events", "20000", "--seed", "7"])?;
    let input = folder.join("events.ndjson");
    std::fs::write(&input, events)?;
    let rules = root.join("resources/demo/rules");
    let reports = folder.join("reports");
    let text = tools::run(
        &program,
        &[
            "replay",
            &input.to_string_lossy(),
            "--rules",
            &rules.to_string_lossy(),
            "--reports",
            &reports.to_string_lossy(),
            "--format",
            "json",
        ],
    )?;
    let summary: Value = serde_json::from_str(&text).with_context(|| text.clone())?;
    let fired = summary["rules"].as_array().context("the summary names its rules")?;
    let rules: serde_json::Map<String, Value> = fired
        .iter()
        .filter(|rule| rule["fired"] != 0)
        .map(|rule| (rule["rule"].as_str().unwrap_or_default().to_owned(), rule["fired"].clone()))
        .collect();
    let total = |name: &str| summary["totals"][name].as_u64().unwrap_or_default();
    Ok(serde_json::json!({
        "events": total("events") + total("madeUp"),
        "visits": summary["totals"]["visits"],
        "rules": rules,
    }))
}
