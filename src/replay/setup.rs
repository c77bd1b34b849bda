//! What has to be right before anything is read: mapping, rules, inputs.

use super::args::ReplayArgs;
use crate::config::{self, ConfigArgs};
use crate::{engine_config, rules_dir};
use anyhow::Context;
use beckon_engine::matcher::MatcherConfig;
use beckon_engine::suppress::{SuppressClock, SuppressConfig};
use beckon_ingest::source::{Input, Mapping, SourceConfig};
use beckon_rules::compile::Limits;
use beckon_rules::diagnostic::Severity;
use beckon_rules::plan::RuleSet;
use beckon_rules::render::Colors;
use beckon_rules::schema::{FieldType, Schema};
use beckon_sinks::parquet::ParquetConfig;
use std::io::IsTerminal;
use std::path::Path;
use std::sync::Arc;

/// Everything that a replay is made of.
pub(super) struct Setup {
    pub(super) source: SourceConfig,
    pub(super) rules: RuleSet,
    pub(super) matcher: MatcherConfig,
    pub(super) suppress: SuppressConfig,
    /// How the tables are written; without the columns of declared fields.
    pub(super) tables: ParquetConfig,
    /// Fields of the mapping that get columns of their own.
    pub(super) typed_columns: Vec<(String, FieldType)>,
}

impl Setup {
    /// Reads mapping and rules.
    pub(super) fn new(args: &ReplayArgs) -> anyhow::Result<Self> {
        let config = config::load(&ConfigArgs::default(), std::env::vars())
            .context("the configuration says what the engine and the tables are")?
            .config;
        let mapping = args.source.as_deref().map(read_mapping).transpose()?;
        let schema = mapping.as_ref().map_or_else(Schema::event, |mapping| mapping.schema());
        let rules = match &args.rules {
            Some(directory) => read_rules(directory, &schema, engine_config::limits(&config))?,
            None => RuleSet::default(),
        };
        let matcher = engine_config::matcher_of_source(&config, mapping.as_deref())?;
        let suppress = SuppressConfig {
            clock: SuppressClock::Watermark,
            invitations: None,
            ..engine_config::suppress(&config)
        };
        let mut typed_columns = Vec::new();
        if let Some(mapping) = &mapping {
            typed_columns.extend(mapping.fields().map(|(name, kind)| (name.to_owned(), kind)));
        }
        let inputs = args.files.iter().map(|file| Input::from_argument(file)).collect();
        let source = SourceConfig {
            format: args.input.map(Into::into),
            mapping,
            query_parameters: config.server.query_parameters.clone(),
            ..SourceConfig::new(inputs)
        };
        Ok(Self { source, rules, matcher, suppress, tables: config.tables(), typed_columns })
    }
}

/// Reads a source mapping.
///
/// # Errors
/// When the file cannot be read, or with everything that is wrong with it.
pub(crate) fn read_mapping(path: &Path) -> anyhow::Result<Arc<Mapping>> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("{}: cannot be read as text", path.display()))?;
    Mapping::parse(&text).map(Arc::new).map_err(|errors| {
        let lines: Vec<String> = errors
            .iter()
            .map(|error| format!("{}:{}: {}", path.display(), error.line, error.message))
            .collect();
        anyhow::anyhow!("the source mapping is wrong\n{}", lines.join("\n"))
    })
}

#[expect(clippy::print_stderr, reason = "diagnostics are for the person at the terminal")]
fn read_rules(directory: &Path, schema: &Schema, limits: Limits) -> anyhow::Result<RuleSet> {
    let checked = rules_dir::check(directory, schema, limits)?;
    if !checked.diagnostics.is_empty() {
        let is_terminal = std::io::stderr().is_terminal();
        let colors = if is_terminal { Colors::Ansi } else { Colors::Plain };
        eprint!("{}", checked.render(colors));
    }
    let errors = checked.count(Severity::Error);
    checked.rules.with_context(|| {
        format!("{}: {errors} errors in the rules, nothing was replayed", directory.display())
    })
}
