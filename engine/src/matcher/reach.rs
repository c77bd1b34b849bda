//! Whose events a rule sees: those of its site, and with `domain_separation` those of its hosts.
//!
//! Apart from the predicate index, because most rule sets have no such rule: then it costs an event
//! nothing.

use super::index::Hit;
use crate::model::EventView;
use beckon_rules::plan::{HostSuffix, RulePlan};
use std::cell::OnceCell;
use std::sync::Arc;

/// The events that one rule sees.
#[derive(Debug)]
struct Reach {
    site: Option<Arc<str>>,
    hosts: Option<HostSuffix>,
}

/// By rule: `None` sees all events. Empty where every rule does.
#[derive(Debug)]
pub(super) struct Reaches(Vec<Option<Reach>>);

impl Reaches {
    pub(super) fn new(rules: &[Arc<RulePlan>]) -> Self {
        let reach = |plan: &Arc<RulePlan>| {
            let (site, hosts) = (plan.site.clone(), plan.hosts.clone());
            (site.is_some() || hosts.is_some()).then_some(Reach { site, hosts })
        };
        let reaches: Vec<_> = rules.iter().map(reach).collect();
        Self(if reaches.iter().all(Option::is_none) { Vec::new() } else { reaches })
    }

    /// Leaves the hits of rules that see the event.
    pub(super) fn retain(&self, view: &EventView<'_>, hits: &mut Vec<Hit>) {
        if self.0.is_empty() {
            return;
        }
        let host = OnceCell::new();
        let is_of = |hosts: &HostSuffix| {
            host.get_or_init(|| view.host()).is_some_and(|host| hosts.covers(host))
        };
        hits.retain(|hit| {
            self.0[hit.rule()].as_ref().is_none_or(|Reach { site, hosts }| {
                site.as_ref().is_none_or(|site| **site == *view.site)
                    && hosts.as_ref().is_none_or(is_of)
            })
        });
    }
}
