//! Results for people: a line for each test, and of each that failed what was expected, what
//! happened, and when.

use super::moment::{Moment, What, moments, time};
use super::{TestReport, TestResult};
use crate::output::count;
use beckon_rules::render::Colors;

/// The most lines of empty time in a picture. There is one for each time it takes to the next moment;
/// they are shared out by how long that is, so that the picture shows time to scale.
const EMPTY_LINES_MAX: i64 = 8;

const RED: &str = "31";
const GREEN: &str = "32";
const YELLOW: &str = "33";

/// Those that passed, and then the pictures of those that failed.
pub(crate) fn text(report: &TestReport, colors: Colors) -> String {
    let mut out = String::new();
    for test in report.tests.iter().filter(|test| test.has_passed()) {
        out.push_str(&format!("{}  {}\n", paint(colors, GREEN, "PASS"), test.title));
    }
    for test in report.failures() {
        let between = if out.is_empty() { "" } else { "\n" };
        out.push_str(&format!("{between}{}", failure(test, colors)));
    }
    out.push_str(&format!("\n{}", summary(report)));
    out
}

/// How many tests there were, and what came of them.
fn summary(report: &TestReport) -> String {
    let failed = report.failures().count();
    let tests = count(report.tests.len(), "test");
    let mut out = format!("{tests}: {} passed, {failed} failed", report.tests.len() - failed);
    if report.filtered_out > 0 {
        out.push_str(&format!(", {} filtered out", report.filtered_out));
    }
    match report.rules_untested {
        0 => {}
        1 => out.push_str("; 1 rule has no test"),
        many => out.push_str(&format!("; {many} rules have no test")),
    }
    out
}

/// One test that failed: expected, found, and both on a line of time.
pub(crate) fn failure(test: &TestResult, colors: Colors) -> String {
    let title = paint(colors, RED, &format!("FAIL  {}", test.title));
    let place = format!("{}:{}", test.file, test.line);
    let mut out = format!("{title}\n      {place}\n\n");
    if let Err(problem) = &test.outcome {
        out.push_str(&format!("      the test cannot run: {problem}\n"));
        return out;
    }
    out.push_str(&format!("      expected  {}\n", list(&test.expected)));
    out.push_str(&format!("      found     {}\n\n", list(&test.acted())));
    let moments = moments(test);
    let times: Vec<String> = moments.iter().map(|moment| time(moment.at_ms)).collect();
    let width = times.iter().map(String::len).max().unwrap_or(0).max(5);
    let all_ms = moments.last().map_or(0, |moment| moment.at_ms)
        - moments.first().map_or(0, |moment| moment.at_ms);
    let mut at_ms: Vec<i64> = moments.iter().map(|moment| moment.at_ms).collect();
    at_ms.dedup();
    let lines = i64::try_from(at_ms.len()).map_or(EMPTY_LINES_MAX, |times| times - 1);
    let mut before: Option<&Moment<'_>> = None;
    for (moment, mut time) in moments.iter().zip(times) {
        let gap_ms = before.map_or(0, |before| moment.at_ms - before.at_ms);
        for _ in 0..empty_lines(gap_ms, all_ms, lines) {
            out.push_str(&format!("      {:width$}  \u{2502}\n", ""));
        }
        if before.is_some() && gap_ms == 0 {
            time.clear();
        }
        out.push_str(&format!("      {time:>width$}  {}\n", mark(moment, colors)));
        before = Some(moment);
    }
    out
}

/// How much of the empty lines a gap gets.
fn empty_lines(gap_ms: i64, all_ms: i64, lines: i64) -> i64 {
    if all_ms == 0 { 0 } else { (gap_ms * lines.min(EMPTY_LINES_MAX) + all_ms / 2) / all_ms }
}

fn mark(moment: &Moment<'_>, colors: Colors) -> String {
    let text = moment.text;
    match moment.what {
        What::Event => format!("\u{25cf} {text}"),
        What::Met => paint(colors, GREEN, &format!("\u{2713} {text}: expected, came")),
        What::Missed => paint(colors, RED, &format!("\u{2717} {text}: expected, did not come")),
        What::Unexpected => paint(colors, RED, &format!("\u{2717} {text}: came, not expected")),
        What::Suppressed(reason) => {
            let why = format!("\u{25cb} {text}: matched, suppressed ({})", reason.as_str());
            paint(colors, YELLOW, &why)
        }
    }
}

fn list(actions: &[(i64, Box<str>)]) -> String {
    let told = actions.iter().map(|(at_ms, action)| format!("{action} at {}", time(*at_ms)));
    let told: Vec<String> = told.collect();
    if told.is_empty() { "nothing".to_owned() } else { told.join(", ") }
}

fn paint(colors: Colors, color: &str, text: &str) -> String {
    match colors {
        Colors::Plain => text.to_owned(),
        Colors::Ansi => format!("\u{1b}[{color}m{text}\u{1b}[0m"),
    }
}
