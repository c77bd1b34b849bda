//! Configuration: what is in force, and where each value came from.
//!
//! A file (`--config`, else `beckon.toml` in the working folder if there is one), then variables
//! `BECKON_SECTION__KEY`, then flags. Unknown keys are refused with a suggestion.
//! `docs/configuration.md` describes every key; `documentation` holds it against the code.

#[cfg(test)]
mod documentation;
mod layers;
mod sections;

use anyhow::Context;
use layers::{Layers, Origin};
use std::path::{Path, PathBuf};

pub(crate) use sections::{Config, LogFormat, ServerSection, TracesSection};

const DEFAULT_FILE: &str = "beckon.toml";

/// Flags that set configuration.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct ConfigArgs {
    /// Configuration file [default: beckon.toml, if there is one]
    #[arg(long)]
    pub(crate) config: Option<PathBuf>,
    /// Address to listen on [default: 127.0.0.1:7700]
    #[arg(long)]
    pub(crate) listen: Option<String>,
    /// Folder of the log, the outbox, cursors, dead letters and tokens [default: beckon-data]
    #[arg(long)]
    pub(crate) data: Option<PathBuf>,
    /// Folder of rule packages
    #[arg(long)]
    pub(crate) rules: Option<PathBuf>,
    /// Folder of the Parquet tables [default: DATA/reports]
    #[arg(long)]
    pub(crate) reports: Option<PathBuf>,
}

/// What is in force, and where it came from.
#[derive(Debug)]
pub(crate) struct Loaded {
    /// What is in force.
    pub(crate) config: Config,
    layers: Layers,
}

impl Loaded {
    /// Whether a flag or the environment says it: the person who starts the process.
    pub(crate) fn is_told(&self, key: &str) -> bool {
        matches!(self.layers.origin(key), Origin::Flag(_) | Origin::Environment(_))
    }

    /// Every value as (dotted key, TOML text, origin); secrets are left out.
    pub(crate) fn rows(&self) -> Vec<(String, String, String)> {
        let leaves = self.layers.leaves().into_iter();
        leaves
            .map(|(path, value, origin)| {
                let is_of_site = path.starts_with("sites.")
                    && (path.ends_with(".keys") || path.ends_with(".identity.secrets"));
                let is_secret = is_of_site
                    || path.starts_with("traces.headers.")
                    || path.starts_with("webhooks.endpoints.") && path.ends_with(".secrets");
                let shown = if is_secret { "(not shown)".to_owned() } else { value };
                (path, shown, origin.to_string())
            })
            .collect()
    }
}

/// Loads the configuration.
///
/// # Errors
/// When the file cannot be read, a key is unknown, or a value does not fit.
pub(crate) fn load(
    args: &ConfigArgs,
    environment: impl Iterator<Item = (String, String)>,
) -> anyhow::Result<Loaded> {
    let mut layers = Layers::new(known_keys()?, table(&Config::default())?);
    if let Some(file) = file(args)? {
        let text = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        let parsed: toml::Table = text.parse().with_context(|| file.display().to_string())?;
        layers.lay(&parsed, &Origin::File(file.display().to_string()))?;
    }
    layers.lay_environment(environment)?;
    lay_flags(&mut layers, args)?;
    let config = config_of(&layers.merged).map_err(|error| misfit(&layers, error))?;
    config.check()?;
    Ok(Loaded { config, layers })
}

fn config_of(table: &toml::Table) -> Result<Config, toml::de::Error> {
    toml::Value::Table(table.clone()).try_into()
}

/// Names the layer whose value does not fit: the first one that does not fit by itself.
fn misfit(layers: &Layers, error: toml::de::Error) -> anyhow::Error {
    let alone = layers.overrides().find_map(|(path, table, origin)| {
        let error = config_of(&table).err()?;
        Some(anyhow::anyhow!("{origin}: `{path}`: {}", error.message()))
    });
    alone.unwrap_or_else(|| error.into())
}

fn table(config: &Config) -> anyhow::Result<toml::Table> {
    Ok(toml::Table::try_from(config)?)
}

/// A table in which every key that exists has a value.
fn known_keys() -> anyhow::Result<toml::Table> {
    let mut known = table(&Config::default())?;
    let optional: toml::Table = sections::OPTIONAL_KEYS.parse()?;
    layers::merge(&mut known, &optional, "", &mut |_| {});
    Ok(known)
}

fn file(args: &ConfigArgs) -> anyhow::Result<Option<PathBuf>> {
    if let Some(file) = &args.config {
        return Ok(Some(file.clone()));
    }
    let default = Path::new(DEFAULT_FILE);
    Ok(default.try_exists()?.then(|| default.to_owned()))
}

fn lay_flags(layers: &mut Layers, args: &ConfigArgs) -> anyhow::Result<()> {
    let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
    for (flag, key, value) in [
        ("--listen", "server.listen", args.listen.clone()),
        ("--data", "server.data", path(&args.data)),
        ("--rules", "server.rules", path(&args.rules)),
        ("--reports", "server.reports", path(&args.reports)),
    ] {
        if let Some(value) = value {
            layers.set(key, toml::Value::String(value), &Origin::Flag(flag))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load_text(text: &str) -> anyhow::Result<Loaded> {
        let file = tempfile::NamedTempFile::new()?;
        std::fs::write(file.path(), text)?;
        let args = ConfigArgs { config: Some(file.path().to_owned()), ..ConfigArgs::default() };
        load(&args, std::iter::empty())
    }

    #[test]
    fn a_file_overrides_defaults_and_the_rest_stays() {
        let loaded = load_text("[server]\nlisten = '127.0.0.1:9'").expect("good");
        assert_eq!(loaded.config.server.listen, "127.0.0.1:9");
        assert_eq!(loaded.config.engine, Config::default().engine);
    }

    #[test]
    fn a_misspelt_key_is_refused_with_a_suggestion() {
        let error = load_text("[engine]\nworkres = 2").expect_err("unknown").to_string();
        assert!(error.contains("did you mean `engine.workers`?"), "{error}");
    }

    #[test]
    fn a_value_of_the_wrong_type_is_refused_by_name() {
        let error = load_text("[engine]\nworkers = 'two'").expect_err("a text").to_string();
        assert!(error.starts_with("file /"), "{error}");
        assert!(error.ends_with("`engine.workers`: invalid type: string \"two\", expected usize"));
        let variable = [("BECKON_SERVER__LISTEN".to_owned(), "7".to_owned())].into_iter();
        let error = load(&ConfigArgs::default(), variable).expect_err("a number").to_string();
        let start = "environment BECKON_SERVER__LISTEN: `server.listen`: invalid type: integer";
        assert!(error.starts_with(start), "{error}");
    }
}
