//! What the configuration says to the engine's stages: the same for the server, a replay and the
//! tests of rules, so that what a test shows is what a server does.

use crate::config::Config;
use anyhow::Context;
use beckon_engine::matcher::MatcherConfig;
use beckon_engine::suppress::{InvitationLimits, SuppressConfig};
use beckon_ingest::source::Mapping;
use beckon_rules::compile::Limits;
use std::collections::BTreeSet;
use std::sync::Arc;

/// What a visit is, how late an event may be, and how much is remembered.
pub(crate) fn matcher(config: &Config) -> MatcherConfig {
    let engine = &config.engine;
    MatcherConfig {
        lateness_ms: engine.lateness_ms,
        inactivity_ms: Some(engine.inactivity_ms),
        visit_events_max: engine.visit_events_max,
        visit_events_matched_max: engine.visit_events_matched_max,
        visits_open_max: engine.visits_open_max,
        closed_visits_max: engine.closed_visits_max,
        rule_partials_max: engine.rule_partials_max,
        pending_absences_max: engine.pending_absences_max,
        rule_absences_max: engine.rule_absences_max,
        rule_hits_max: engine.rule_hits_max,
        key_combinations_max: engine.key_combinations_max,
        window_events_max: engine.window_events_max,
        windows_max: engine.windows_max,
        window_memory_ms: engine.window_memory_ms,
        ..MatcherConfig::default()
    }
}

/// The same for the events of a source: what a visit is stands in its mapping, if there is one.
///
/// # Errors
/// When the mapping's inactivity is longer than time itself.
pub(crate) fn matcher_of_source(
    config: &Config,
    mapping: Option<&Mapping>,
) -> anyhow::Result<MatcherConfig> {
    let matcher = matcher(config);
    let Some(mapping) = mapping else { return Ok(matcher) };
    let inactivity = mapping.inactivity.map(|after| i64::try_from(after.as_millis()));
    Ok(MatcherConfig {
        inactivity_ms: inactivity.transpose().context("inactivity is too long")?,
        makes_visit_started: mapping.visit_started,
        ..matcher
    })
}

/// What rules are warned of.
pub(crate) fn limits(config: &Config) -> Limits {
    // A folder of rules may be checked where the server's configuration is not.
    let endpoints = (!config.webhooks.endpoints.is_empty()).then(|| endpoints(config));
    Limits { window_memory_ms: Some(config.engine.window_memory_ms), endpoints }
}

/// The same for the server itself, whose configuration this is.
pub(crate) fn server_limits(config: &Config) -> Limits {
    Limits { endpoints: Some(endpoints(config)), ..limits(config) }
}

fn endpoints(config: &Config) -> Arc<BTreeSet<Box<str>>> {
    Arc::new(config.webhooks.endpoints.keys().map(|name| name.as_str().into()).collect())
}

/// Which matches act.
pub(crate) fn suppress(config: &Config) -> SuppressConfig {
    let engine = &config.engine;
    SuppressConfig {
        invitations: Some(InvitationLimits {
            per_visit: engine.invitations_per_visit,
            per_visitor_per_day: engine.invitations_per_visitor_per_day,
        }),
        visitors_max: engine.visitors_max,
        window_memory_ms: engine.window_memory_ms,
        decisions_max: engine.visitor_decisions_max,
        timezone: engine.timezone.clone(),
        ..SuppressConfig::default()
    }
}
