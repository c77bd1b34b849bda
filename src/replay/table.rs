//! The summary for people.

use super::Summary;
use super::example::{Example, time};
use super::observer::{RuleKey, RuleSeen};
use beckon_ingest::source::SourceReport;
use comfy_table::{CellAlignment, Table, presets};

/// All of the summary.
pub(super) fn text(summary: &Summary) -> String {
    let mut out = String::new();
    bad_lines(&mut out, &summary.source);
    if !summary.observed.rules.is_empty() {
        line(&mut out, &format!("{}\n", rules_table(summary)));
        for (key, rule) in &summary.observed.rules {
            if let Some(example) = &rule.example {
                example_text(&mut out, key, rule, example);
            }
        }
    }
    line(&mut out, &totals_table(summary).to_string());
    let rate = format!("{:.0}", summary.events_per_second());
    out.push_str(&format!("{:.2} s, {} events/s", summary.seconds, grouped(&rate)));
    out
}

fn rules_table(summary: &Summary) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED);
    table.set_header(["rule", "package", "fired", "suppressed", "visitors", "first fired", "for"]);
    let mut rules: Vec<(&RuleKey, &RuleSeen)> = summary.observed.rules.iter().collect();
    rules.sort_by(|(a_key, a), (b_key, b)| b.fired.cmp(&a.fired).then(a_key.cmp(b_key)));
    for ((package, name), rule) in rules {
        let is_bound = rule.is_visitors_bound();
        let visitors = format!("{}{}", number(rule.visitors), if is_bound { "+" } else { "" });
        let example = rule.example.as_ref();
        table.add_row([
            name.to_string(),
            package.to_string(),
            number(rule.fired),
            number(rule.suppressed),
            visitors,
            example.map(|example| time(example.fact.timestamp)).unwrap_or_default(),
            example.map(Example::who_short).unwrap_or_default(),
        ]);
    }
    for column in 2..5 {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

fn example_text(out: &mut String, (package, name): &RuleKey, rule: &RuleSeen, example: &Example) {
    line(out, &format!("{name} ({package})"));
    if !rule.description.is_empty() {
        line(out, &format!("  {}", rule.description));
    }
    line(out, &format!("  who   {}", example.who()));
    line(out, &format!("  when  {}", time(example.fact.timestamp)));
    for (index, step) in example.why().iter().enumerate() {
        line(out, &format!("  {}   {step}", if index == 0 { "why" } else { "   " }));
    }
    let fact = &example.fact;
    let target = fact.channel.as_deref().or(fact.endpoint.as_deref());
    let parts = [Some(&*fact.kind), target, fact.data.as_deref()];
    let then = parts.into_iter().flatten().collect::<Vec<_>>().join(" ");
    line(out, &format!("  then  {then}\n"));
}

fn totals_table(summary: &Summary) -> Table {
    let totals = summary.observed.totals;
    let late = totals.not_correctable + totals.before_horizon;
    let dropped = summary.source.dropped;
    let rows = [
        ("events", totals.events),
        ("visits", totals.visits),
        ("came late, put in their place", totals.put_in_place),
        ("came too late, not matched", late),
        ("over the limit of a visit, not matched", totals.over_visit_limit),
        ("duplicates", summary.feed.duplicates),
        ("ids forgotten, their duplicates not found", summary.feed.ids_forgotten),
        ("bad lines", summary.source.bad_lines),
        ("values not of their type", summary.source.mismatched_values),
        ("fields not taken", dropped.fields),
        ("addresses that cannot be read", dropped.addresses),
        ("query parameters over the limit of an address", dropped.parameters),
    ];
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED);
    for (index, (name, count)) in rows.into_iter().enumerate() {
        if index < 2 || count > 0 {
            table.add_row([name.to_owned(), number(count)]);
        }
    }
    for (name, count) in &summary.observed.names {
        table.add_row([format!("  {name}"), number(*count)]);
    }
    if let Some(column) = table.column_mut(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn bad_lines(out: &mut String, source: &SourceReport) {
    for bad in &source.bad_lines_shown {
        line(out, &format!("{}:{}: {}", bad.input, bad.line, bad.reason));
    }
    let more = source.bad_lines.saturating_sub(source.bad_lines_shown.len() as u64);
    if more > 0 {
        line(out, &format!("and {} more bad lines", number(more)));
    }
    if source.bad_lines > 0 {
        out.push('\n');
    }
}

fn line(out: &mut String, text: &str) {
    out.push_str(text);
    out.push('\n');
}

fn number(number: u64) -> String {
    grouped(&number.to_string())
}

/// Digits with a comma before each three.
fn grouped(digits: &str) -> String {
    let mut out = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}
