//! Commands that are more than a call into a crate.

pub(crate) mod actions;
pub(crate) mod data;
pub(crate) mod dead_letters;
pub(crate) mod log_inspect;
pub(crate) mod rules_check;
pub(crate) mod rules_deploy;
pub(crate) mod rules_test;
pub(crate) mod server;
pub(crate) mod show_config;
pub(crate) mod token;
pub(crate) mod webhooks;
