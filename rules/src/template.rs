//! Templates of actions: JSON whose texts may hold `{{ path }}`.
//!
//! A path names a field of the match's last event (`event.data.name`) or of a named step
//! (`cart.data.name`). A text that is one placeholder alone still gives text. Null gives the empty
//! text and is reported, so that the match can be flagged.
//!
//! There is nothing but `{{ path }}`: no condition, no loop, no filter. What needs more is a rule.
//! A template is parsed without knowing which steps there are ([`Spanned`] paths); the checker,
//! which knows, turns it into one of [`Placeholder`]s by [`Template::resolve`].

use crate::ast::{Path, Span, Spanned};
use crate::syntax;

/// Which event a placeholder reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The match's last event.
    Last,
    /// The event of a step (0 is the first, `runs` counted).
    Step(u8),
}

/// What a checked placeholder reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placeholder {
    /// Of which event.
    pub source: Source,
    /// Of which field.
    pub path: Path,
}

/// JSON with placeholders.
#[derive(Clone, Debug, PartialEq)]
pub enum Template<F = Placeholder> {
    /// JSON without placeholders: its text.
    Constant(Box<str>),
    /// Text with placeholders.
    Text(Vec<Piece<F>>),
    /// A list.
    List(Vec<Template<F>>),
    /// An object.
    Object(Vec<(Box<str>, Template<F>)>),
}

/// A piece of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece<F = Placeholder> {
    /// Taken as it is.
    Text(Box<str>),
    /// `{{ path }}`.
    Field(F),
}

/// A placeholder that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct TemplateError {
    /// Bytes of the text.
    pub span: Span,
    /// What is wrong.
    pub message: String,
}

/// Cuts a text into pieces; spans are bytes of the text.
///
/// # Errors
/// When a `{{` has no `}}`, or what stands between is not a path.
pub fn parse_text(text: &str) -> Result<Vec<Piece<Spanned<Path>>>, TemplateError> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once("{{") {
        if !before.is_empty() {
            pieces.push(Piece::Text(before.into()));
        }
        let start = text.len() - behind.len();
        let Some((inside, after)) = behind.split_once("}}") else {
            let span = span(start - 2, text.len());
            return Err(TemplateError { span, message: "this `{{` has no `}}`".to_owned() });
        };
        pieces.push(Piece::Field(path(inside, start)?));
        rest = after;
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest.into()));
    }
    Ok(pieces)
}

/// What stands between the braces; `start` is its place in the text.
fn path(inside: &str, start: usize) -> Result<Spanned<Path>, TemplateError> {
    match syntax::parse_path(inside) {
        Ok(path) => {
            let at = |offset: u32| offset as usize + start;
            Ok(Spanned { node: path.node, span: span(at(path.span.start), at(path.span.end)) })
        }
        Err(_) => {
            let message = "between `{{` and `}}` stands the path of a field, nothing else";
            let span = span(start, start + inside.len());
            Err(TemplateError { span, message: message.to_owned() })
        }
    }
}

fn span(start: usize, end: usize) -> Span {
    let offset = |at: usize| u32::try_from(at).expect("a rule file is shorter than 4 GB");
    Span { start: offset(start), end: offset(end) }
}

impl<F> Template<F> {
    /// A text; one without placeholders is a constant.
    #[must_use]
    pub fn text(pieces: Vec<Piece<F>>) -> Self {
        match pieces.as_slice() {
            [] => Self::Constant("\"\"".into()),
            [Piece::Text(text)] => Self::Constant(json_text(text).into()),
            _ => Self::Text(pieces),
        }
    }

    /// Says for each placeholder what it reads. `resolve` gives `None` for one that it refused; the
    /// whole is `None` then, after all were asked.
    pub fn resolve<G>(&self, resolve: &mut dyn FnMut(&F) -> Option<G>) -> Option<Template<G>> {
        match self {
            Self::Constant(json) => Some(Template::Constant(json.clone())),
            Self::Text(pieces) => {
                let resolved = pieces.iter().map(|piece| match piece {
                    Piece::Text(text) => Some(Piece::Text(text.clone())),
                    Piece::Field(field) => resolve(field).map(Piece::Field),
                });
                all(resolved).map(Template::Text)
            }
            Self::List(items) => {
                all(items.iter().map(|item| item.resolve(resolve))).map(Template::List)
            }
            Self::Object(entries) => {
                let resolved = entries
                    .iter()
                    .map(|(name, value)| value.resolve(resolve).map(|value| (name.clone(), value)));
                all(resolved).map(Template::Object)
            }
        }
    }
}

/// The items, if all are there; asks for every one, so that every error is found.
fn all<T>(items: impl Iterator<Item = Option<T>>) -> Option<Vec<T>> {
    let items: Vec<Option<T>> = items.collect();
    items.into_iter().collect()
}

impl Template {
    /// Appends the JSON text to `out`; returns whether a placeholder was null. `lookup` gives a
    /// field's text (numbers and truth values as JSON writes them), or `None` for null.
    pub fn render(
        &self,
        lookup: &mut dyn FnMut(&Source, &Path) -> Option<String>,
        out: &mut String,
    ) -> bool {
        match self {
            Self::Constant(json) => {
                out.push_str(json);
                false
            }
            Self::Text(pieces) => {
                let (text, has_null) = render_pieces(pieces, lookup);
                out.push_str(&json_text(&text));
                has_null
            }
            Self::List(items) => {
                let mut has_null = false;
                out.push('[');
                for (index, item) in items.iter().enumerate() {
                    out.push_str(if index > 0 { "," } else { "" });
                    has_null |= item.render(lookup, out);
                }
                out.push(']');
                has_null
            }
            Self::Object(entries) => {
                let mut has_null = false;
                out.push('{');
                for (index, (name, value)) in entries.iter().enumerate() {
                    out.push_str(if index > 0 { "," } else { "" });
                    out.push_str(&json_text(name));
                    out.push(':');
                    has_null |= value.render(lookup, out);
                }
                out.push('}');
                has_null
            }
        }
    }
}

fn render_pieces(
    pieces: &[Piece],
    lookup: &mut dyn FnMut(&Source, &Path) -> Option<String>,
) -> (String, bool) {
    let mut text = String::new();
    let mut has_null = false;
    for piece in pieces {
        match piece {
            Piece::Text(part) => text.push_str(part),
            Piece::Field(Placeholder { source, path }) => match lookup(source, path) {
                Some(value) => text.push_str(&value),
                None => has_null = true,
            },
        }
    }
    (text, has_null)
}

/// A text as JSON writes it.
pub(crate) fn json_text(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Resolves `event.x` to the last event and `cart.x` to step 1.
    fn template(text: &str) -> Option<Template> {
        let pieces = parse_text(text).expect("a template");
        Template::text(pieces).resolve(&mut |path: &Spanned<Path>| {
            let (first, rest) = path.node.parts.split_first()?;
            let source = match &**first {
                "event" => Source::Last,
                "cart" => Source::Step(1),
                _ => return None,
            };
            Some(Placeholder { source, path: Path { parts: rest.to_vec() } })
        })
    }

    fn lookup(source: &Source, path: &Path) -> Option<String> {
        match (source, path.parts.join(".").as_str()) {
            (Source::Last, "data.name") => Some("a \"b\"\n".to_owned()),
            (Source::Step(1), "data.price") => Some("12.5".to_owned()),
            _ => None,
        }
    }

    fn check(text: &str, json: &str, has_null: bool) {
        let mut out = String::new();
        let found = template(text).expect("known names").render(&mut lookup, &mut out);
        assert_eq!((&*out, found), (json, has_null), "{text}");
    }

    fn refused(text: &str, about: &str, message: &str) {
        let error = parse_text(text).expect_err(text);
        let range = error.span.range();
        assert_eq!((text.get(range), &*error.message), (Some(about), message), "{text}");
    }

    #[test]
    fn values_are_escaped_and_null_is_empty_and_flagged() {
        check("no placeholder", "\"no placeholder\"", false);
        check("", "\"\"", false);
        check("{{event.data.name}}", r#""a \"b\"\n""#, false);
        check("<{{ cart.data.price }}> {{ event.data.name }}", r#""<12.5> a \"b\"\n""#, false);
        check("{{ cart.data.gone }}!", "\"!\"", true);
        check("a } b }} c { d", "\"a } b }} c { d\"", false);
    }

    #[test]
    fn values_are_never_read_as_templates() {
        let mut out = String::new();
        let template = template("{{ event.x }}").expect("known names");
        template.render(&mut |_, _| Some("{{ event.x }}".to_owned()), &mut out);
        assert_eq!(out, "\"{{ event.x }}\"");
    }

    #[test]
    fn lists_and_objects() {
        let text = |text: &str| template(text).expect("known names");
        let list = Template::List(vec![text("a"), Template::Constant("1".into())]);
        let object =
            Template::Object(vec![("k\"".into(), list), ("gone".into(), text("{{ event.gone }}"))]);
        let mut out = String::new();
        assert!(object.render(&mut lookup, &mut out));
        assert_eq!(out, r#"{"k\"":["a",1],"gone":""}"#);
    }

    #[test]
    fn other_syntax_is_refused() {
        let only = "between `{{` and `}}` stands the path of a field, nothing else";
        refused("a {{ event.x", "{{ event.x", "this `{{` has no `}}`");
        refused("a {{}} b", "", only);
        refused("{{#each x}}", "#each x", only);
        refused("{{ x | upper }}", " x | upper ", only);
        refused("{{ f(x) }}", " f(x) ", only);
        refused("{{{ x }}}", "{ x ", only);
    }

    #[test]
    fn a_name_that_is_refused_refuses_the_whole() {
        assert_eq!(template("{{ other.x }} {{ event.x }}"), None);
    }
}
