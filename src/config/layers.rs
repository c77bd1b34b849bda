//! Layers of configuration: defaults, then the file, the environment, the flags.
//!
//! Every leaf remembers which layer set it, so that `beckon config` can say where a value came
//! from. A key that no layer below knows is refused with the nearest known one.

use std::collections::BTreeMap;
use std::fmt;

/// Stands in the known keys for any name (of a site).
pub(crate) const ANY: &str = "*";

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Built in.
    Default,
    /// A file, by name.
    File(String),
    /// An environment variable.
    Environment(String),
    /// A command line flag.
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(name) => write!(f, "file {name}"),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::Flag(name) => write!(f, "flag {name}"),
        }
    }
}

/// Why a layer was refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{origin}: unknown key `{path}`{}", suggest(.nearest))]
pub(crate) struct UnknownKey {
    origin: Origin,
    path: String,
    nearest: Option<String>,
}

fn suggest(nearest: &Option<String>) -> String {
    nearest.as_ref().map_or_else(String::new, |name| format!("; did you mean `{name}`?"))
}

/// The merged table and where each leaf came from.
#[derive(Debug)]
pub(crate) struct Layers {
    /// A table in which every key that exists has a value, also those without a default.
    known: toml::Table,
    /// What is in force.
    pub(crate) merged: toml::Table,
    /// By dotted path; what is not here is a default.
    origins: BTreeMap<String, Origin>,
}

impl Layers {
    /// Starts from the defaults; `known` names every key, with an example element in each list.
    pub(crate) fn new(known: toml::Table, defaults: toml::Table) -> Self {
        Self { known, merged: defaults, origins: BTreeMap::new() }
    }

    /// Lays a table over what is there.
    ///
    /// # Errors
    /// For the first unknown key.
    pub(crate) fn lay(&mut self, table: &toml::Table, origin: &Origin) -> Result<(), UnknownKey> {
        check(&self.known, table, "", origin)?;
        merge(&mut self.merged, table, "", &mut |path| {
            self.origins.insert(path, origin.clone());
        });
        Ok(())
    }

    /// Lays one value at a dotted path.
    ///
    /// # Errors
    /// For an unknown path.
    pub(crate) fn set(
        &mut self,
        path: &str,
        value: toml::Value,
        origin: &Origin,
    ) -> Result<(), UnknownKey> {
        self.lay(&nested(path, value), origin)
    }

    /// Lays every variable `BECKON_SECTION__KEY`; a value that is no TOML is text. Variables with
    /// single underscores are passed over: orchestrators set some of their own.
    ///
    /// # Errors
    /// For a variable whose key is unknown.
    pub(crate) fn lay_environment(
        &mut self,
        variables: impl Iterator<Item = (String, String)>,
    ) -> Result<(), UnknownKey> {
        for (name, text) in variables {
            let key = name.strip_prefix("BECKON_").filter(|key| key.contains("__"));
            let Some(key) = key else { continue };
            let path = key.to_lowercase().replace("__", ".");
            self.set(&path, parse_value(&text), &Origin::Environment(name))?;
        }
        Ok(())
    }

    /// Where a leaf came from.
    pub(crate) fn origin(&self, path: &str) -> Origin {
        self.origins.get(path).cloned().unwrap_or(Origin::Default)
    }

    /// Every leaf that is no default: its path, a table of it alone, its origin.
    pub(crate) fn overrides(&self) -> impl Iterator<Item = (&str, toml::Table, &Origin)> {
        self.origins.iter().filter_map(|(path, origin)| {
            let value = lookup(&self.merged, path)?.clone();
            Some((&**path, nested(path, value), origin))
        })
    }

    /// Every leaf as (path, value, origin), sorted by path.
    pub(crate) fn leaves(&self) -> Vec<(String, String, Origin)> {
        let mut leaves = Vec::new();
        merge(&mut toml::Table::new(), &self.merged, "", &mut |path| leaves.push(path));
        leaves.sort();
        leaves
            .into_iter()
            .map(|path| {
                let value =
                    lookup(&self.merged, &path).map_or_else(String::new, ToString::to_string);
                let origin = self.origin(&path);
                (path, value, origin)
            })
            .collect()
    }
}

fn parse_value(text: &str) -> toml::Value {
    format!("value = {text}")
        .parse::<toml::Table>()
        .ok()
        .and_then(|mut table| table.remove("value"))
        .unwrap_or_else(|| toml::Value::String(text.to_owned()))
}

/// A table that holds one value, at a dotted path.
fn nested(path: &str, value: toml::Value) -> toml::Table {
    let (parents, key) = path.rsplit_once('.').unwrap_or(("", path));
    let inner: toml::Table = [(key.to_owned(), value)].into_iter().collect();
    if parents.is_empty() { inner } else { nested(parents, toml::Value::Table(inner)) }
}

fn lookup<'a>(table: &'a toml::Table, path: &str) -> Option<&'a toml::Value> {
    let mut parts = path.split('.');
    let first = table.get(parts.next()?)?;
    parts.try_fold(first, |value, key| value.get(key))
}

fn join(prefix: &str, key: &str) -> String {
    if prefix.is_empty() { key.to_owned() } else { format!("{prefix}.{key}") }
}

fn check(
    known: &toml::Table,
    table: &toml::Table,
    prefix: &str,
    origin: &Origin,
) -> Result<(), UnknownKey> {
    for (key, value) in table {
        let path = join(prefix, key);
        match (known.get(key).or_else(|| known.get(ANY)), value) {
            (None, _) => {
                let nearest = nearest(key, known.keys()).map(|name| join(prefix, name));
                return Err(UnknownKey { origin: origin.clone(), path, nearest });
            }
            (Some(toml::Value::Table(known)), toml::Value::Table(inner)) => {
                check(known, inner, &path, origin)?;
            }
            (Some(toml::Value::Array(examples)), toml::Value::Array(elements)) => {
                check_elements(examples, elements, &path, origin)?;
            }
            _ => {}
        }
    }
    Ok(())
}

fn check_elements(
    examples: &[toml::Value],
    elements: &[toml::Value],
    path: &str,
    origin: &Origin,
) -> Result<(), UnknownKey> {
    let Some(toml::Value::Table(known)) = examples.first() else { return Ok(()) };
    elements
        .iter()
        .filter_map(toml::Value::as_table)
        .try_for_each(|element| check(known, element, path, origin))
}

fn nearest<'a>(key: &str, names: impl Iterator<Item = &'a String>) -> Option<&'a String> {
    names
        .map(|name| (strsim::jaro_winkler(key, name), name))
        .filter(|(score, _)| *score > 0.75)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, name)| name)
}

/// Copies leaf by leaf; tables are merged, all else replaced.
pub(crate) fn merge(
    target: &mut toml::Table,
    source: &toml::Table,
    prefix: &str,
    each: &mut dyn FnMut(String),
) {
    for (key, value) in source {
        let path = join(prefix, key);
        if let toml::Value::Table(inner) = value {
            let slot =
                target.entry(key.clone()).or_insert_with(|| toml::Value::Table(toml::Table::new()));
            if let toml::Value::Table(slot) = slot {
                merge(slot, inner, &path, each);
                continue;
            }
        }
        target.insert(key.clone(), value.clone());
        each(path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str) -> toml::Table {
        text.parse().expect("TOML")
    }

    fn layers() -> Layers {
        Layers::new(
            table("[server]\nlisten = 'x'\nname = 'x'\n[sites.'*']\nkind = 'x'"),
            table("[server]\nlisten = '127.0.0.1:7700'"),
        )
    }

    #[test]
    fn a_later_layer_wins_and_is_named() {
        let mut layers = layers();
        let file = Origin::File("b.toml".into());
        layers.lay(&table("[server]\nname = 'a'\nlisten = 'b'"), &file).expect("known keys");
        let environment = [("BECKON_SERVER__NAME".to_owned(), "7".to_owned())];
        layers.lay_environment(environment.into_iter()).expect("known key");
        assert_eq!(
            layers.leaves(),
            vec![
                ("server.listen".into(), "\"b\"".into(), file),
                (
                    "server.name".into(),
                    "7".into(),
                    Origin::Environment("BECKON_SERVER__NAME".into())
                ),
            ]
        );
    }

    #[test]
    fn an_unknown_key_is_refused_with_the_nearest() {
        let check = |text: &str| {
            let error = layers().lay(&table(text), &Origin::File("b.toml".into()));
            error.expect_err("unknown").to_string()
        };
        assert_eq!(
            check("[server]\nlistne = 'b'"),
            "file b.toml: unknown key `server.listne`; did you mean `server.listen`?"
        );
        assert_eq!(
            check("[sites.shop]\nknd = 1"),
            "file b.toml: unknown key `sites.shop.knd`; did you mean `sites.shop.kind`?"
        );
    }
}
