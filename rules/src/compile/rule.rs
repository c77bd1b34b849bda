//! One rule: its query, its action, and the keys of its file.

use super::{Compiler, Context, Limits, error, range_of};
use crate::ast::{Path, Span, Spanned};
use crate::canonical;
use crate::check::{Bindings, Checker, Extent, Findings, mark_bound};
use crate::diagnostic::{Diagnostic, Severity};
use crate::package::{Backfill, RuleFile};
use crate::plan::{ActionPlan, HostSuffix, RulePlan, Window};
use crate::schedule;
use crate::schema::{Resolved, Schema};
use crate::suggest::did_you_mean;
use crate::template::{Placeholder, Source, Template};

/// Checks and plans a rule; the plan is right only where no error was found.
pub(super) fn plan(rule: &RuleFile, context: &Context, compiler: &mut Compiler) -> RulePlan {
    let schema = &context.schema;
    let diagnostics = &mut compiler.diagnostics;
    check_keys(rule, context, diagnostics);
    diagnostics.extend(unknown_endpoint(rule, &compiler.limits));
    let mut checker = Checker {
        schema,
        slots: &mut compiler.slots,
        bindings: Bindings::default(),
        extent: Extent {
            window: rule.window.node,
            has_state_max: rule.state_max.is_some(),
            window_memory_ms: compiler.limits.window_memory_ms,
        },
        findings: Findings::default(),
    };
    let mut query = checker.query(&rule.query.tree);
    let Checker { mut bindings, findings, .. } = checker;
    diagnostics.extend(findings.into_sorted().into_iter().map(|finding| Diagnostic {
        severity: finding.severity,
        code: finding.code,
        file: rule.file.clone(),
        range: rule.query.range(finding.span),
        message: finding.message,
        help: finding.help,
    }));
    let data = rule.action.data.as_ref();
    let data = data.and_then(|data| template(data, rule, (schema, &mut bindings), diagnostics));
    mark_bound(&mut query, &bindings);
    RulePlan {
        package: context.package.clone(),
        name: rule.name.node.as_ref().into(),
        version: canonical::version(rule, &context.shared),
        description: rule.description.clone(),
        enabled: rule.enabled,
        window: rule.window.node,
        fire: rule.fire,
        emit: rule.emit.node,
        priority: rule.priority,
        holdout: rule.holdout.as_ref().map_or(0.0, |share| share.node),
        schedule: rule.schedule.as_ref().map(|hours| hours.node.clone()),
        timezone: rule.timezone.as_ref().map(|zone| zone.node.clone()),
        cooldown_ms: rule.cooldown_ms.as_ref().map(|time| time.node),
        state_max: rule.state_max.as_ref().map(|count| {
            u32::try_from(count.node).expect("the reader's bounds are those of the type")
        }),
        backfill_acts: rule
            .backfill
            .as_ref()
            .is_some_and(|backfill| matches!(backfill.node, Backfill::Act)),
        site: context.site.clone(),
        hosts: context.shared.domain_separation.then(|| HostSuffix::of_package(&context.package)),
        action: ActionPlan {
            kind: rule.action.kind.node,
            channel: rule.action.channel.as_ref().map(|channel| channel.node.clone()),
            expires_ms: rule.action.expires_ms.as_ref().map(|time| time.node),
            endpoint: rule.action.endpoint.as_ref().map(|endpoint| endpoint.node.clone()),
            data,
        },
        query,
        tree: rule.query.tree.clone(),
    }
}

/// Checks the keys of the rule file that need more than their own text.
fn check_keys(rule: &RuleFile, context: &Context, diagnostics: &mut Vec<Diagnostic>) {
    let mut refuse = |code, span: Span, message: String| {
        diagnostics.push(error(code, &rule.file, range_of(span), message));
    };
    if rule.window.node == Window::Global && !context.is_operator {
        let message = "`window = \"global\"` sees the events of all sites: only a package that is \
                       deployed with the scope `operator` may";
        refuse("scope", rule.window.span, message.to_owned());
    }
    if rule.window.node.is_shared() {
        let window = rule.window.node.as_str();
        let cooldown = rule.cooldown_ms.as_ref().map(|key| ("cooldown", key.span));
        let holdout = rule.holdout.as_ref().map(|key| ("holdout", key.span));
        for (key, span) in cooldown.into_iter().chain(holdout) {
            let message =
                format!("`{key}` goes by visitor: `window = \"{window}\"` has no single one");
            refuse("no-visitor", span, message);
        }
    }
    if let Some(hours) = &rule.schedule
        && let Err(error) = schedule::parse_hours(&hours.node)
    {
        refuse("bad-value", hours.span, error.to_string());
    }
    if let Some(zone) = &rule.timezone
        && let Err(error) = schedule::parse_zone(&zone.node)
    {
        refuse("bad-value", zone.span, error.to_string());
    }
}

/// A webhook to an endpoint that the server does not know goes nowhere until it does.
fn unknown_endpoint(rule: &RuleFile, limits: &Limits) -> Option<Diagnostic> {
    let (known, endpoint) = (limits.endpoints.as_ref()?, rule.action.endpoint.as_ref()?);
    if known.contains(&endpoint.node) {
        return None;
    }
    let help = did_you_mean(&endpoint.node, known.iter().map(AsRef::as_ref)).unwrap_or_else(|| {
        format!(
            "write [webhooks.endpoints.{}] into the server's configuration; until then its calls \
             are dead letters, which can be replayed",
            endpoint.node
        )
    });
    Some(Diagnostic {
        severity: Severity::Warning,
        code: "unknown-endpoint",
        file: rule.file.clone(),
        range: range_of(endpoint.span),
        message: format!("the server's configuration has no endpoint `{}`", endpoint.node),
        help: Some(help),
    })
}

/// Finds out what the placeholders of an action name.
fn template(
    data: &Template<Spanned<Path>>,
    rule: &RuleFile,
    (schema, bindings): (&Schema, &mut Bindings),
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<Template> {
    data.resolve(&mut |path: &Spanned<Path>| {
        let placeholder = placeholder(&path.node, schema, bindings);
        if let Err((code, message, help)) = placeholder {
            let error = error(code, &rule.file, range_of(path.span), message);
            diagnostics.push(Diagnostic { help, ..error });
            return None;
        }
        placeholder.ok()
    })
}

type Problem = (&'static str, String, Option<String>);

fn placeholder(
    path: &Path,
    schema: &Schema,
    bindings: &mut Bindings,
) -> Result<Placeholder, Problem> {
    let (first, rest) = path.parts.split_first().expect("a path has parts");
    let source = match (bindings.find(first), first.as_ref()) {
        (Some(step), _) => {
            bindings.read(step);
            Source::Step(step.0)
        }
        (None, "event") => Source::Last,
        (None, name) => {
            let help = if schema.begins_a_path(name) {
                format!("write `event.{}` for the last event's", path.parts.join("."))
            } else {
                "a path begins with `event` or the name of a step (`as name`)".to_owned()
            };
            let message = format!("`{name}` is neither `event` nor the name of a step");
            return Err(("unknown-step", message, Some(help)));
        }
    };
    let path = Path { parts: rest.to_vec() };
    let dotted = path.parts.join(".");
    match schema.resolve(&path) {
        _ if rest.is_empty() => {
            let message = format!("`{first}` is an event, which has no text of its own");
            Err(("map-is-no-value", message, Some(format!("name a field, as in `{first}.url`"))))
        }
        Resolved::Unknown => {
            let help = schema.suggest(&dotted).map(|known| format!("did you mean `{known}`?"));
            Err(("unknown-field", format!("there is no field `{dotted}`"), help))
        }
        Resolved::Map => {
            let message = format!("`{dotted}` holds named values and is no value itself");
            Err(("map-is-no-value", message, Some(format!("name one, as in `{dotted}.sku`"))))
        }
        Resolved::Declared(_) | Resolved::Open(_) | Resolved::Absent => {
            Ok(Placeholder { source, path })
        }
    }
}
