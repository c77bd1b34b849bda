//! Results for programs. Names are part of the command's interface.

use super::{TestReport, TestResult, line};
use crate::rules_dir::CheckedRules;
use beckon_rules::diagnostic::{Diagnostic, Severity};
use serde_json::{Value, json};

/// All results and diagnostics; `report` is `None` where errors kept the tests from running.
///
/// # Errors
/// When the text cannot be written.
pub(crate) fn json(checked: &CheckedRules, report: Option<&TestReport>) -> anyhow::Result<String> {
    let diagnostics: Vec<Value> =
        checked.diagnostics.iter().map(|one| diagnostic(checked, one)).collect();
    let tests: Vec<Value> = report.iter().flat_map(|report| &report.tests).map(test).collect();
    let failed = report.map_or(0, |report| report.failures().count());
    let object = json!({
        "diagnostics": diagnostics,
        "tests": tests,
        "totals": {
            "passed": tests.len() - failed,
            "failed": failed,
            "filteredOut": report.map_or(0, |report| report.filtered_out),
            "rulesUntested": report.map_or(0, |report| report.rules_untested),
        },
    });
    Ok(serde_json::to_string_pretty(&object)?)
}

fn diagnostic(checked: &CheckedRules, one: &Diagnostic) -> Value {
    let severity = match one.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    json!({
        "severity": severity,
        "code": one.code,
        "file": one.file,
        "line": checked.text(&one.file).map(|text| line(text, one.range.start)),
        "message": one.message,
        "help": one.help,
    })
}

fn test(test: &TestResult) -> Value {
    let expected = test.expected.iter();
    let expected: Vec<Value> =
        expected.map(|(at_ms, action)| json!({ "atMs": at_ms, "action": action })).collect();
    let found = test.outcome.iter().flatten().map(|acted| {
        let suppressed = acted.suppressed.map(|reason| reason.as_str());
        json!({ "atMs": acted.at_ms, "action": acted.action, "suppressed": suppressed })
    });
    json!({
        "package": test.package,
        "rule": test.rule,
        "name": test.name,
        "file": test.file,
        "line": test.line,
        "passed": test.has_passed(),
        "expected": expected,
        "found": found.collect::<Vec<Value>>(),
        "error": test.outcome.as_ref().err(),
    })
}
