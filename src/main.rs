//! The binary: command line, configuration, and putting the parts together.

mod cli;
mod command;
mod config;
mod engine_config;
mod generate;
mod http_client;
mod output;
mod replay;
mod rule_tests;
mod rules_dir;
mod serve;
mod typed_columns;

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    let result = match &cli.command {
        cli::Command::Serve(args) => serve::run(args),
        cli::Command::Generate(args) => generate::run(args),
        cli::Command::Replay(args) => replay::run(args),
        cli::Command::Rules(cli::RulesCommand::Check(args)) => command::rules_check::run(args),
        cli::Command::Rules(cli::RulesCommand::Test(args)) => command::rules_test::run(args),
        cli::Command::Rules(cli::RulesCommand::Deploy(args)) => command::rules_deploy::run(args),
        cli::Command::Actions(command) => command::actions::run(command),
        cli::Command::DeadLetters(command) => command::dead_letters::run(command),
        cli::Command::Webhooks(command) => command::webhooks::run(command),
        cli::Command::Token(command) => command::token::run(command),
        cli::Command::Log(cli::LogCommand::Inspect(args)) => command::log_inspect::run(args),
        cli::Command::Config(args) => command::show_config::run(args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => report(&error),
    }
}

#[expect(clippy::print_stderr, reason = "the last word of a command that failed")]
fn report(error: &anyhow::Error) -> ExitCode {
    eprintln!("error: {}", told(error));
    ExitCode::FAILURE
}

/// An error and its causes, without those that the error before tells already.
fn told(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.ends_with(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_told_once() {
        let error = anyhow::anyhow!("not found").context("a.log: not found").context("cannot read");
        assert_eq!(told(&error), "cannot read: a.log: not found");
    }
}
