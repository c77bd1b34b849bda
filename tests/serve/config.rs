//! `beckon config`: what is in force, and the layer that each value came from.

use crate::support::{KEY, beckon, cells, configured};
use std::path::Path;
use std::process::Output;

const BOTH: &str = "
[server]
listen = '127.0.0.1:1'
log_filter = 'error'
rules = 'rules-of-the-file'
";

fn config(folder: &Path, variables: &[(&str, &str)], flags: &[&str]) -> Output {
    let mut command = beckon(folder);
    command.arg("config").args(flags).envs(variables.iter().copied());
    command.output().expect("the binary")
}

#[test]
fn each_value_names_the_layer_that_set_it() {
    let folder = configured();
    let path = folder.path().join("beckon.toml");
    let text = std::fs::read_to_string(&path).expect("a file");
    std::fs::write(&path, format!("{text}{BOTH}")).expect("a file");
    let variables = [
        ("BECKON_SERVER__LISTEN", "127.0.0.1:2"),
        ("BECKON_SERVER__LOG_FILTER", "warn"),
        ("BECKON_ENGINE__WORKERS", "2"),
        // An orchestrator's own, with single underscores.
        ("BECKON_SERVICE_HOST", "10.0.0.1"),
    ];
    let output = config(folder.path(), &variables, &["--listen", "127.0.0.1:3"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let table = String::from_utf8(output.stdout).expect("UTF-8");
    let rows = cells(&table);
    for (key, value, from) in [
        ("server.listen", "\"127.0.0.1:3\"", "flag --listen"),
        ("server.log_filter", "\"warn\"", "environment BECKON_SERVER__LOG_FILTER"),
        ("engine.workers", "2", "environment BECKON_ENGINE__WORKERS"),
        ("server.rules", "\"rules-of-the-file\"", "file beckon.toml"),
        ("log.disk_free_bytes_min", "0", "file beckon.toml"),
        ("server.data", "\"beckon-data\"", "default"),
        ("sites.shop.keys", "(not shown)", "file beckon.toml"),
    ] {
        let row = rows.iter().find(|row| row[0] == key);
        assert_eq!(row.map(|row| &row[1..]), Some(&[value, from][..]), "{key}\n{table}");
    }
    assert!(!table.contains(KEY), "{table}");
}

#[test]
fn an_unknown_key_is_refused_with_its_layer_and_the_nearest_key() {
    let folder = configured();
    let refused = |variables: &[(&str, &str)]| {
        let output = config(folder.path(), variables, &[]);
        assert_eq!(output.status.code(), Some(1));
        assert!(output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
        String::from_utf8(output.stderr).expect("UTF-8")
    };
    assert_eq!(
        refused(&[("BECKON_LIMITS__EVENT_BYTE_MAX", "1")]),
        "error: environment BECKON_LIMITS__EVENT_BYTE_MAX: unknown key `limits.event_byte_max`; \
         did you mean `limits.event_bytes_max`?\n"
    );
    let text =
        format!("[sites.shop]\nkeys = [{{ name = \"a\", kid = \"server\", key = \"{KEY}\" }}]");
    std::fs::write(folder.path().join("beckon.toml"), text).expect("a file");
    assert_eq!(
        refused(&[]),
        "error: file beckon.toml: unknown key `sites.shop.keys.kid`; \
         did you mean `sites.shop.keys.kind`?\n"
    );
}

#[test]
fn a_number_that_cannot_work_is_refused_by_its_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let refused = |key: &str, value: &str| {
        let name = format!("BECKON_{}", key.replace('.', "__").to_uppercase());
        let output = config(folder.path(), &[(&name, value)], &[]);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && error.contains(key), "{key} = {value}: {error}");
    };
    refused("engine.workers", "0");
    refused("engine.lateness_ms", "-1");
    refused("engine.window_memory_ms", "0");
    refused("log.append_queue_bytes_max", "0");
    refused("log.append_queue_bytes_max", "268435457");
    refused("log.segment_bytes", "0");
    refused("reports.file_rows_max", "0");
    refused("dead_letters.queue_letters_max", "0");
}
