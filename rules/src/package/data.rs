//! TOML values as JSON: the `data` of an action with its placeholders, and events of tests.

use super::place::TextPlace;
use super::reader::{Reader, Value, integer, span};
use crate::ast::{Path, Spanned};
use crate::template::{Piece, Template, parse_text};
use serde_json::Value as Json;
use toml::de::DeValue;

impl Reader<'_> {
    /// A value whose texts are templates. Errors are reported, and a wrong text is left empty.
    pub(super) fn template(&mut self, value: &Value<'_>) -> Template<Spanned<Path>> {
        match value.get_ref() {
            DeValue::String(text) => self.template_text(text, value),
            DeValue::Array(items) => {
                Template::List(items.iter().map(|item| self.template(item)).collect())
            }
            DeValue::Table(table) => {
                let mut entries: Vec<_> = table.iter().collect();
                entries.sort_by_key(|(key, _)| key.span().start);
                let entries = entries
                    .into_iter()
                    .map(|(key, value)| (key.get_ref().as_ref().into(), self.template(value)));
                Template::Object(entries.collect())
            }
            _ => Template::Constant(self.json(value).to_string().into()),
        }
    }

    fn template_text(&mut self, text: &str, value: &Value<'_>) -> Template<Spanned<Path>> {
        let place = TextPlace::new(self.text, value.span(), text);
        let pieces = match parse_text(text) {
            Ok(pieces) => pieces,
            Err(error) => {
                let help = "write `{{ event.field }}` or `{{ name.field }}`".to_owned();
                let range = place.range(error.span);
                self.error_with_help("template", range, error.message, Some(help));
                Vec::new()
            }
        };
        let in_file = |piece| match piece {
            Piece::Field(Spanned { node, span: inside }) => {
                Piece::Field(Spanned { node, span: span(place.range(inside)) })
            }
            text @ Piece::Text(_) => text,
        };
        Template::text(pieces.into_iter().map(in_file).collect())
    }

    /// A value as JSON; what JSON cannot hold is reported and becomes null.
    pub(super) fn json(&mut self, value: &Value<'_>) -> Json {
        let json = match value.get_ref() {
            DeValue::String(text) => Some(Json::from(text.as_ref())),
            DeValue::Integer(_) => integer(value.get_ref()).map(Json::from),
            DeValue::Float(number) => {
                let number = number.as_str().parse().ok();
                number.and_then(serde_json::Number::from_f64).map(Json::Number)
            }
            DeValue::Boolean(value) => Some(Json::Bool(*value)),
            DeValue::Datetime(time) => Some(Json::from(time.to_string())),
            DeValue::Array(items) => {
                Some(Json::Array(items.iter().map(|item| self.json(item)).collect()))
            }
            DeValue::Table(table) => {
                let entries = table
                    .iter()
                    .map(|(key, value)| (key.get_ref().as_ref().to_owned(), self.json(value)));
                Some(Json::Object(entries.collect()))
            }
        };
        json.unwrap_or_else(|| {
            self.error("bad-value", value.span(), "JSON has no such number");
            Json::Null
        })
    }
}
