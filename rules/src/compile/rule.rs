//! One rule: its query, its action, and what of its file does not run yet.

use super::{Compiler, Context, error, range_of};
use crate::ast::{Path, Span, Spanned};
use crate::canonical;
use crate::check::{Bindings, Checker, Findings, mark_bound};
use crate::diagnostic::Diagnostic;
use crate::package::{Emit, RuleFile, Window};
use crate::plan::{ActionPlan, RulePlan};
use crate::schema::{Resolved, Schema};
use crate::template::{Placeholder, Source, Template};

/// Checks and plans a rule; the plan is right only where no error was found.
pub(super) fn plan(rule: &RuleFile, context: &Context, compiler: &mut Compiler) -> RulePlan {
    let schema = &context.schema;
    let diagnostics = &mut compiler.diagnostics;
    refuse_what_does_not_run(rule, diagnostics);
    let mut checker = Checker {
        schema,
        slots: &mut compiler.slots,
        bindings: Bindings::default(),
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
        version: canonical::version(rule, &context.types),
        description: rule.description.clone(),
        enabled: rule.enabled,
        fire: rule.fire,
        priority: rule.priority,
        holdout: 0.0,
        action: ActionPlan {
            kind: rule.action.kind.node,
            channel: rule.action.channel.as_ref().map(|channel| channel.node.clone()),
            endpoint: rule.action.endpoint.as_ref().map(|endpoint| endpoint.node.clone()),
            data,
        },
        query,
        tree: rule.query.tree.clone(),
    }
}

/// Keys of the rule file whose features come later: an error, so that nobody relies on them.
fn refuse_what_does_not_run(rule: &RuleFile, diagnostics: &mut Vec<Diagnostic>) {
    let spans: [(Option<Span>, &str); 8] = [
        (
            (rule.window.node != Window::Visit).then_some(rule.window.span),
            "windows but `visit` are",
        ),
        ((rule.emit.node != Emit::Early).then_some(rule.emit.span), "`emit = \"final\"` is"),
        (rule.schedule.as_ref().map(|key| key.span), "`schedule` is"),
        (rule.timezone.as_ref().map(|key| key.span), "`timezone` is"),
        (rule.cooldown_ms.as_ref().map(|key| key.span), "`cooldown` is"),
        (rule.holdout.as_ref().map(|key| key.span), "`holdout` is"),
        (rule.state_max.as_ref().map(|key| key.span), "`state_max` is"),
        (rule.backfill.as_ref().map(|key| key.span), "`backfill` is"),
    ];
    for (span, what) in spans {
        if let Some(span) = span {
            let message = format!("{what} not run yet: it comes with a later version");
            diagnostics.push(error("not-yet", &rule.file, range_of(span), message));
        }
    }
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
