//! `beckon log inspect`: what lies in a log, and whether it is whole.

use super::data::DataArgs;
use crate::output;
use anyhow::Context;
use beckon_engine::disk::RealDisk;
use beckon_engine::log::{Inspected, inspect};
use comfy_table::Table;
use jiff::Timestamp;

/// Arguments of `beckon log inspect`.
#[derive(Debug, clap::Args)]
pub(crate) struct LogInspectArgs {
    #[command(flatten)]
    data: DataArgs,
    /// A line for each commit group too
    #[arg(long)]
    groups: bool,
}

/// What one segment holds.
#[derive(Debug, Default)]
struct Segment {
    name: String,
    bytes: u64,
    made: String,
    first_epoch: u64,
    first_seq: u64,
    groups: u64,
    records: u64,
    last_epoch: u64,
    digest: String,
    flaw: String,
}

/// Runs the command. A damaged log is an error after the table.
///
/// # Errors
/// When the log cannot be read, or is damaged.
pub(crate) fn run(args: &LogInspectArgs) -> anyhow::Result<()> {
    let data = args.data.existing()?;
    let dir = data.join("log");
    let mut segments: Vec<Segment> = Vec::new();
    let mut lines = Vec::new();
    inspect(&RealDisk, &dir, |found| take(found, &mut segments, &mut lines))
        .with_context(|| format!("{} holds no log", data.display()))?;
    if args.groups {
        output::line(&lines.join("\n"))?;
    }
    output::line(&table(&segments))?;
    let damaged: Vec<&str> = segments
        .iter()
        .filter(|segment| segment.flaw.starts_with("damaged"))
        .map(|segment| segment.name.as_str())
        .collect();
    anyhow::ensure!(damaged.is_empty(), "the log is damaged in {}", damaged.join(", "));
    Ok(())
}

fn take(found: Inspected, segments: &mut Vec<Segment>, lines: &mut Vec<String>) {
    match found {
        Inspected::Segment { name, bytes, first_epoch, first_seq, made } => {
            let made = Timestamp::from_millisecond(made.0)
                .map_or_else(|_| "?".into(), |at| at.to_string());
            segments.push(Segment {
                name: name.into(),
                bytes,
                made,
                first_epoch: first_epoch.0,
                first_seq: first_seq.0,
                digest: "none".to_owned(),
                flaw: "whole".to_owned(),
                ..Segment::default()
            });
        }
        Inspected::Digest { name, ids, epochs, is_removed } => {
            let segment = last_or_removed(segments, &name, is_removed);
            segment.digest = format!("{ids} ids");
            if is_removed {
                (segment.first_epoch, segment.last_epoch) = (epochs.0.0, epochs.1.0);
            }
        }
        Inspected::DigestFlaw { name, what, is_removed } => {
            last_or_removed(segments, &name, is_removed).digest = format!("not usable: {what}");
        }
        Inspected::Group { mark, offset, bytes, records } => {
            lines.push(format!(
                "epoch {} at byte {offset}: {bytes} bytes, {records} records up to {}, now {}",
                mark.epoch, mark.last_seq, mark.now
            ));
            if let Some(segment) = segments.last_mut() {
                segment.groups += 1;
                segment.records += records;
                segment.last_epoch = mark.epoch.0;
            }
        }
        Inspected::Damage { segment, offset, what, is_torn } => {
            let word = if is_torn { "torn" } else { "damaged" };
            let flaw = format!("{word} at byte {offset}: {what}");
            match segments.last_mut().filter(|last| *last.name == *segment) {
                Some(last) => last.flaw = flaw,
                None => segments.push(Segment { name: segment.into(), flaw, ..Segment::default() }),
            }
        }
    }
}

/// The segment that a digest is of; a new row if it was removed.
fn last_or_removed<'a>(
    segments: &'a mut Vec<Segment>,
    name: &str,
    is_removed: bool,
) -> &'a mut Segment {
    if is_removed || segments.is_empty() {
        let (name, flaw) = (name.replace(".ids", ".seg"), "removed".to_owned());
        segments.push(Segment { name, flaw, ..Segment::default() });
    }
    let last = segments.len() - 1;
    &mut segments[last]
}

fn table(segments: &[Segment]) -> String {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::UTF8_BORDERS_ONLY);
    table.set_header([
        "segment",
        "made",
        "bytes",
        "epochs",
        "records",
        "first record",
        "digest",
        "state",
    ]);
    for segment in segments {
        table.add_row([
            segment.name.clone(),
            segment.made.clone(),
            segment.bytes.to_string(),
            format!("{} to {}", segment.first_epoch, segment.last_epoch),
            segment.records.to_string(),
            segment.first_seq.to_string(),
            segment.digest.clone(),
            segment.flaw.clone(),
        ]);
    }
    table.to_string()
}
