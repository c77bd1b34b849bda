//! Deployments, as the feeder takes them.

use crate::cpu::cpu_time;
use beckon_engine::catalog::{Catalog, Compiler, event_compiler};
use beckon_engine::log::{Control, Deployment, Owner, PackageKey, Standing};
use beckon_engine::model::{Epoch, EpochMark};
use beckon_engine::stage::RuleChange;
use beckon_engine::suppress::SuppressConfig;
use std::sync::Arc;
use std::time::Duration;

/// A catalog that follows deployments, each in an epoch of its own.
#[derive(Debug)]
pub struct Deployments {
    compiler: Arc<Compiler>,
    /// What follows them.
    pub catalog: Catalog,
    standing: Standing,
}

impl Default for Deployments {
    fn default() -> Self {
        let compiler = event_compiler();
        let suppress = SuppressConfig::default();
        let catalog = Catalog::new(Arc::clone(&compiler), suppress).expect("a time zone");
        Self { compiler, catalog, standing: Standing::default() }
    }
}

impl Deployments {
    /// What all workers take, and how long the feeder takes for it: the deployer has compiled the
    /// package and made it ready.
    ///
    /// # Panics
    /// When a rule does not compile.
    pub fn deploy(
        &mut self,
        name: &str,
        rules: &[String],
        mark: &EpochMark,
    ) -> (Arc<RuleChange>, Duration) {
        let file = |(number, text): (usize, &String)| {
            (format!("r{number}.toml").into(), text.as_str().into())
        };
        let files = rules.iter().enumerate().map(file).collect();
        let deployment =
            Deployment { owner: Owner::Token, is_operator: true, by: "bench".into(), files };
        let key = PackageKey { name: name.into(), site: None };
        let control = Arc::new(Control::Deploy(key, Arc::new(deployment)));
        self.standing.apply(&control);
        let compiled = self.compiler.compile(&self.standing.packages);
        assert!(compiled.broken.is_empty(), "{:?}", compiled.diagnostics);
        self.compiler.guess(&compiled.rules, Epoch(mark.epoch.0.saturating_sub(1)));
        let start = cpu_time();
        let change = self.catalog.apply(mark, &[control]).expect("a change");
        (change, cpu_time().saturating_sub(start))
    }
}

/// What so many in a hundred of the times do not exceed.
#[must_use]
pub fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    sorted[(sorted.len() - 1) * percent / 100]
}
