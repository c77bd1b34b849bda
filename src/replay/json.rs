//! The summary for programs. Names are part of the command's interface.

use super::Summary;
use super::example::{Example, time};
use super::observer::{RuleKey, RuleSeen};
use serde_json::{Value, json};

/// All of the summary, as one JSON object.
pub(super) fn text(summary: &Summary) -> anyhow::Result<String> {
    let totals = summary.observed.totals;
    let dropped = summary.source.dropped;
    let rules: Vec<Value> = summary.observed.rules.iter().map(rule).collect();
    let bad_lines: Vec<Value> = summary
        .source
        .bad_lines_shown
        .iter()
        .map(|bad| json!({ "input": bad.input, "line": bad.line, "reason": bad.reason }))
        .collect();
    let object = json!({
        "rules": rules,
        "totals": {
            "events": totals.events,
            "visits": totals.visits,
            "epochs": totals.epochs,
            "madeUp": totals.made_up,
            "putInPlace": totals.put_in_place,
            "notCorrectable": totals.not_correctable,
            "beforeHorizon": totals.before_horizon,
            "overVisitLimit": totals.over_visit_limit,
            "superseded": totals.superseded,
            "duplicates": summary.feed.duplicates,
            "idsForgotten": summary.feed.ids_forgotten,
            "badLines": summary.source.bad_lines,
            "mismatchedValues": summary.source.mismatched_values,
            "droppedFields": dropped.fields,
            "droppedAddresses": dropped.addresses,
            "droppedParameters": dropped.parameters,
            "sortRuns": summary.feed.sort_runs,
        },
        "eventNames": summary.observed.names,
        "badLines": bad_lines,
        "seconds": summary.seconds,
        "eventsPerSecond": summary.events_per_second(),
    });
    Ok(serde_json::to_string_pretty(&object)?)
}

fn rule(((package, name), seen): (&RuleKey, &RuleSeen)) -> Value {
    json!({
        "package": &**package,
        "rule": &**name,
        "version": format!("{:032X}", seen.version),
        "fired": seen.fired,
        "suppressed": seen.suppressed,
        "retracted": seen.retracted,
        "corrected": seen.corrected,
        "visitors": seen.visitors,
        "visitorsIsLowerBound": seen.is_visitors_bound(),
        "example": seen.example.as_ref().map(example),
    })
}

fn example(example: &Example) -> Value {
    let fact = &example.fact;
    let events: Vec<Value> = example
        .events
        .iter()
        .map(|(id, event)| {
            let text = |name: &str| match event.as_ref()?.field(name)? {
                beckon_engine::model::Value::Str(text) => Some(text.clone()),
                _ => None,
            };
            json!({
                "eventID": id.to_string(),
                "eventName": event.as_ref().map(|event| event.name.clone()),
                "timestamp": event.as_ref().map(|event| time(event.timestamp)),
                "url": text("url"),
                "referrer": text("referrer"),
            })
        })
        .collect();
    let data = fact.data.as_deref().and_then(|text| serde_json::from_str::<Value>(text).ok());
    json!({
        "who": example.who(),
        "timestamp": time(fact.timestamp),
        "visitID": fact.visit.to_string(),
        "globalVisitID": fact.visitor.as_ref().map(ToString::to_string),
        "actionID": format!("{:032X}", fact.action.0),
        "action": {
            "type": &*fact.kind,
            "channel": fact.channel.as_deref(),
            "endpoint": fact.endpoint.as_deref(),
            "data": data,
        },
        "events": events,
    })
}
