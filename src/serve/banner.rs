//! What `serve --demo` tells the person who started it.

use crate::config::Config;
use crate::output;
use beckon_ingest::tokens::{NewToken, Scope, TokenStore};
use beckon_rules::plan::RuleSet;
use std::net::SocketAddr;

/// Prints where to look, what runs, and a token.
///
/// # Errors
/// When the token cannot be kept.
pub(crate) fn print(
    address: SocketAddr,
    config: &Config,
    rules: &RuleSet,
    tokens: &TokenStore,
) -> anyhow::Result<()> {
    let new = NewToken { name: "demo".to_owned(), scopes: [Scope::Operator].into(), site: None };
    let (token, _) = tokens.create(new)?;
    let names: Vec<&str> = rules.rules.iter().map(|rule| &*rule.name).collect();
    output::line(&format!(
        "\n  Beckon is running. Open\n\n      http://{address}/\n\n  and click: rules fire as you \
         go ({}).\n\n  send events   curl -d '{{\"eventName\":\"PageEntered\",\"category\":\
         \"pricing\",\"visitID\":\"0123456789abcdef0123456789abcdef\"}}' \
         http://{address}/v1/events\n  metrics       http://{address}/metrics\n  Parquet       {}\n  \
         token         {} (Authorization: Bearer, for \
         /metrics and the rest)\n\n  Ctrl-C ends it.\n",
        names.join(", "),
        config.reports().display(),
        token.as_str()
    ))
}
