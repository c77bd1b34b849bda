//! `package.toml`: what all rules of a package share.

use super::reader::{Reader, Value, span};
use super::{DeclaredType, PackageFile, RULE_FILE_BYTES_MAX};
use crate::ast::{Path, Spanned};
use crate::diagnostic::Diagnostic;
use toml::de::{DeTable, DeValue};

/// Reads `package.toml`. The file is there whenever it is TOML, so that rules can be checked too;
/// it is right only if there are no diagnostics.
#[must_use]
pub fn parse_package_file(file: &str, text: &str) -> (Option<PackageFile>, Vec<Diagnostic>) {
    let mut reader = Reader::new(file, text);
    let package = reader.document(RULE_FILE_BYTES_MAX).map(|table| reader.package(&table));
    (package, reader.diagnostics)
}

impl Reader<'_> {
    fn package(&mut self, table: &DeTable<'_>) -> PackageFile {
        let section = self.section(table, 0..0, "package.toml", &["types", "domain_separation"]);
        let mut types = Vec::new();
        if let Some((entries, _)) = self.table(&section, "types") {
            self.types(entries, &mut Vec::new(), &mut types);
        }
        types.sort_by(|one, other| one.path.node.parts.cmp(&other.path.node.parts));
        PackageFile {
            file: self.file.into(),
            types,
            domain_separation: self.boolean(&section, "domain_separation"),
        }
    }

    /// Reads the entries below `parts`: `data.price = "float"`, with or without quotes about the
    /// path.
    fn types(
        &mut self,
        table: &DeTable<'_>,
        parts: &mut Vec<Box<str>>,
        types: &mut Vec<DeclaredType>,
    ) {
        for (key, value) in table {
            let before = parts.len();
            parts.extend(key.get_ref().split('.').map(Into::into));
            let path = Spanned { node: Path { parts: parts.clone() }, span: span(key.span()) };
            match value.get_ref() {
                DeValue::Table(below) => self.types(below, parts, types),
                _ => types.extend(self.declared(path, value)),
            }
            parts.truncate(before);
        }
    }

    fn declared(&mut self, path: Spanned<Path>, value: &Value<'_>) -> Option<DeclaredType> {
        let range = path.span.range();
        let parts = &path.node.parts;
        if parts.len() < 2 || &*parts[0] != "data" || parts.iter().any(|part| part.is_empty()) {
            let help = "the fields of the event itself have their types".to_owned();
            let message = "[types] declares fields below `data`";
            self.error_with_help("bad-value", range, message, Some(help));
            return None;
        }
        let Some(name) = value.get_ref().as_str() else {
            let message = format!("the type of `{}` is a text", parts.join("."));
            let help = "write the name of a type: \"float\"".to_owned();
            self.error_with_help("wrong-type", value.span(), message, Some(help));
            return None;
        };
        Some(DeclaredType {
            type_name: Spanned { node: name.into(), span: span(value.span()) },
            path,
        })
    }
}
