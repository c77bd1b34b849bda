//! `docs/configuration.md` against the code: every key once, every default as it is.

use super::{Config, known_keys, layers::Layers, table};
use std::collections::BTreeMap;

/// The page's keys as (section, key), each with the cell of its default; in the sections of sites and
/// endpoints, whose keys have none, with an empty one.
fn documented() -> BTreeMap<(String, String), String> {
    let page = include_str!("../../docs/configuration.md");
    let mut section = "";
    let mut keys = BTreeMap::new();
    for line in page.lines() {
        if let Some(name) = line.strip_prefix("## `[") {
            section = name.trim_end_matches("]`");
        }
        let Some(row) = line.strip_prefix("| `") else { continue };
        let (key, cells) = row.split_once("` |").expect("a cell that is a key");
        let mut cells = cells.trim_end_matches('|').split(" | ").map(str::trim);
        let default = match section {
            "sites.NAME" | "webhooks.endpoints.NAME" => "",
            _ => cells.next().expect("a default"),
        };
        assert!(cells.next().is_some_and(|meaning| !meaning.is_empty()), "{section}.{key}");
        let place = (section.to_owned(), key.to_owned());
        let before = keys.insert(place, default.to_owned());
        assert_eq!(before, None, "{section}.{key} stands twice");
    }
    keys
}

/// A value as the page writes it.
fn written(value: &toml::Value) -> String {
    match value {
        toml::Value::String(text) => format!("`{text}`"),
        toml::Value::Array(values) if values.is_empty() => "none".to_owned(),
        toml::Value::Array(values) => values.iter().map(written).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

/// The defaults of the code; of a key without one what happens then.
fn defaults() -> BTreeMap<(String, String), String> {
    let config = Config::default();
    let defaults = table(&config).expect("a table");
    let reports = config.reports().display().to_string();
    let data = config.server.data.display().to_string();
    let default = |section: &str, key: &str| match (section, key) {
        ("server", "reports") => format!("`{}`", reports.replace(&data, "DATA")),
        _ => defaults[section].get(key).map_or_else(|| "none".to_owned(), written),
    };
    let known = Layers::new(toml::Table::new(), known_keys().expect("a table"));
    let mut keys = BTreeMap::new();
    for (path, _, _) in known.leaves() {
        let (section, key) = path.split_once('.').expect("every key stands in a section");
        if let Some(key) = path.strip_prefix("webhooks.endpoints.*.") {
            keys.insert(("webhooks.endpoints.NAME".to_owned(), key.to_owned()), String::new());
        } else if section != "sites" {
            keys.insert((section.to_owned(), key.to_owned()), default(section, key));
        }
    }
    let sites = &known_keys().expect("a table")["sites"]["*"];
    let write_key = sites["keys"][0].as_table().expect("an example");
    let identity = sites["identity"].as_table().expect("an example");
    let names = sites.as_table().expect("a table").keys();
    let names = names.chain(write_key.keys()).chain(identity.keys());
    keys.extend(names.map(|name| (("sites.NAME".to_owned(), name.clone()), String::new())));
    keys
}

#[test]
fn every_key_stands_on_the_page_with_its_default_and_no_other_does() {
    let (page, code) = (documented(), defaults());
    let missing: Vec<_> = code.keys().filter(|key| !page.contains_key(key)).collect();
    assert!(missing.is_empty(), "not on the page: {missing:?}");
    let unknown: Vec<_> = page.keys().filter(|key| !code.contains_key(key)).collect();
    assert!(unknown.is_empty(), "no keys: {unknown:?}");
    for (key, default) in &code {
        assert_eq!(&page[key], default, "the default of {key:?}");
    }
}
