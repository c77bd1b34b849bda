//! From a match to a fact: ids, and the action's data rendered.

use super::fields::Extractor;
use super::windows::BoundEvent;
use crate::model::{EventRow, ValueView, write_json};
use beckon_rules::ast::Path;
use beckon_rules::plan::ActionPlan;
use beckon_rules::program::Datum;
use beckon_rules::template::{Piece, Placeholder, Source, Template};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A rule's action, ready to be filled in.
#[derive(Debug)]
pub(super) struct Action {
    /// The kind's name.
    pub(super) kind: Arc<str>,
    /// The channel.
    pub(super) channel: Option<Arc<str>>,
    /// How long a message holds.
    pub(super) expires_ms: Option<i64>,
    /// The endpoint.
    pub(super) endpoint: Option<Arc<str>>,
    data: Data,
}

#[derive(Debug)]
enum Data {
    None,
    Constant(Arc<str>),
    Template {
        template: Template,
        /// What is read of which event.
        reads: Vec<(Source, Read)>,
    },
}

#[derive(Debug)]
struct Read {
    paths: Vec<Path>,
    extractor: Extractor,
}

/// The events of a match that its action may read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Matched<'a> {
    /// The last one, and the step that it filled.
    pub(super) last: (&'a EventRow, u8),
    /// Those of named steps before it.
    pub(super) bound: &'a [BoundEvent],
}

impl Action {
    pub(super) fn new(plan: &ActionPlan) -> Self {
        let data = match &plan.data {
            None => Data::None,
            Some(template) => Data::new(template),
        };
        Self {
            kind: plan.kind.as_str().into(),
            channel: plan.channel.as_deref().map(Arc::from),
            expires_ms: plan.expires_ms,
            endpoint: plan.endpoint.as_deref().map(Arc::from),
            data,
        }
    }

    /// The action's `data` as JSON text, and whether a placeholder was null.
    pub(super) fn render(&self, matched: Matched<'_>) -> (Option<Arc<str>>, bool) {
        match &self.data {
            Data::None => (None, false),
            Data::Constant(text) => (Some(Arc::clone(text)), false),
            Data::Template { template, reads } => {
                let texts = texts(reads, matched);
                let mut out = String::new();
                let mut lookup = |source: &Source, path: &Path| {
                    let (_, read, texts) = texts.iter().find(|(known, ..)| *known == source)?;
                    let place = read.paths.iter().position(|known| known == path)?;
                    texts.get(place)?.clone()
                };
                let has_null = template.render(&mut lookup, &mut out);
                (Some(out.into()), has_null)
            }
        }
    }
}

impl Data {
    fn new(template: &Template) -> Self {
        let mut paths = BTreeMap::new();
        collect(template, &mut paths);
        if paths.is_empty() {
            let mut text = String::new();
            template.render(&mut |_, _| None, &mut text);
            return Self::Constant(text.into());
        }
        let reads = paths.into_values().map(|(source, paths)| {
            let extractor = Extractor::new(&paths);
            (source, Read { paths, extractor })
        });
        Self::Template { template: template.clone(), reads: reads.collect() }
    }
}

/// The placeholders of a template, by the event that they read (a step's number; the last event
/// has none).
fn collect(template: &Template, paths: &mut BTreeMap<Option<u8>, (Source, Vec<Path>)>) {
    match template {
        Template::Constant(_) => {}
        Template::Text(pieces) => {
            for piece in pieces {
                let Piece::Field(Placeholder { source, path }) = piece else { continue };
                let step = match source {
                    Source::Last => None,
                    Source::Step(step) => Some(*step),
                };
                let (_, known) = paths.entry(step).or_insert_with(|| (source.clone(), Vec::new()));
                if !known.contains(path) {
                    known.push(path.clone());
                }
            }
        }
        Template::List(items) => items.iter().for_each(|item| collect(item, paths)),
        Template::Object(entries) => entries.iter().for_each(|(_, item)| collect(item, paths)),
    }
}

/// For each event that is read, the texts of its paths.
fn texts<'r>(
    reads: &'r [(Source, Read)],
    matched: Matched<'_>,
) -> Vec<(&'r Source, &'r Read, Vec<Option<String>>)> {
    let (last, last_step) = matched.last;
    let of = |source: &Source| match source {
        Source::Step(step) if *step != last_step => {
            let bound = matched.bound.iter().find(|bound| bound.step == *step)?;
            Some((&bound.event, &bound.identity))
        }
        Source::Step(_) | Source::Last => Some((&last.event, &last.identity)),
    };
    let texts = reads.iter().map(|(source, read)| {
        let texts = of(source).and_then(|(event, identity)| {
            let view = event.view().ok()?;
            let mut captures = read.extractor.capture(&view).ok()?;
            read.extractor.stamp(&mut captures, identity);
            Some((0..read.paths.len()).map(|place| text_of(captures.value(place))).collect())
        });
        (source, read, texts.unwrap_or_default())
    });
    texts.collect()
}

/// A value as text: as JSON writes it, text without quotes, several values joined by `;` as
/// `category` is on the wire.
fn text_of(datum: Datum<'_>) -> Option<String> {
    let json = |value: ValueView<'_>| {
        let mut text = String::new();
        write_json(value, &mut text).ok().map(|()| text)
    };
    match datum {
        Datum::Null => None,
        Datum::Bool(bool) => json(ValueView::Bool(bool)),
        Datum::Int(int) => json(ValueView::Int(int)),
        Datum::Float(float) => json(ValueView::Float(float)),
        Datum::Str(text) => Some(text.to_owned()),
        Datum::Many(values) => {
            let texts: Vec<String> = values.iter().filter_map(|value| text_of(*value)).collect();
            Some(texts.join(";"))
        }
    }
}
