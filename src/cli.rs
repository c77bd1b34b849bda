//! The command line.

use crate::command::actions::ActionsCommand;
use crate::command::dead_letters::DeadLettersCommand;
use crate::command::log_inspect::LogInspectArgs;
use crate::command::rules_check::RulesCheckArgs;
use crate::command::rules_deploy::RulesDeployArgs;
use crate::command::rules_test::RulesTestArgs;
use crate::command::token::TokenCommand;
use crate::command::webhooks::WebhooksCommand;
use crate::config::ConfigArgs;
use crate::generate::GenerateArgs;
use crate::replay::ReplayArgs;
use crate::serve::ServeArgs;
use clap::{Parser, Subcommand};

/// Recognises in milliseconds the moment that matters on a website, and acts.
#[derive(Debug, Parser)]
#[command(name = "beckon", version, about, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What is done.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the server
    Serve(ServeArgs),
    /// Write a realistic stream of visitors, or send it to a server as load
    Generate(GenerateArgs),
    /// Run rules over log files: which fired, for whom, and why; write the Parquet
    Replay(ReplayArgs),
    /// Work on rules
    #[command(subcommand)]
    Rules(RulesCommand),
    /// Pause what rules do, and let it go on
    #[command(subcommand)]
    Actions(ActionsCommand),
    /// Rejected events: look at them, and send them through today's checks
    #[command(subcommand)]
    DeadLetters(DeadLettersCommand),
    /// Calls to other systems: their endpoints, what was given up, and calling it again
    #[command(subcommand)]
    Webhooks(WebhooksCommand),
    /// Make, show and revoke API tokens
    #[command(subcommand)]
    Token(TokenCommand),
    /// Look into the durable log
    #[command(subcommand)]
    Log(LogCommand),
    /// Show the configuration in force, and where each value came from
    Config(ConfigArgs),
}

/// What is done with the log.
#[derive(Debug, Subcommand)]
pub(crate) enum LogCommand {
    /// Show its segments, and whether each is whole
    Inspect(LogInspectArgs),
}

/// What is done with rules.
#[derive(Debug, Subcommand)]
pub(crate) enum RulesCommand {
    /// Show everything that is wrong with the rules of a folder, drawn in its place
    Check(RulesCheckArgs),
    /// Run the tests that rules carry, and show what happened in those that fail
    Test(RulesTestArgs),
    /// Bring the packages of a folder to a running server
    Deploy(RulesDeployArgs),
}
