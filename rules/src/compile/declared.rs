//! The types that packages declare under `[types]`: one for each field, over all packages.

use super::{error, range_of};
use crate::ast::Path;
use crate::diagnostic::Diagnostic;
use crate::package::PackageFile;
use crate::schema::{FieldType, Schema};
use crate::suggest::did_you_mean;
use std::collections::BTreeMap;

/// Declared types, with the file that declared each first.
#[derive(Debug, Default)]
pub(super) struct DeclaredTypes {
    types: BTreeMap<Vec<Box<str>>, Declared>,
}

#[derive(Debug)]
struct Declared {
    kind: FieldType,
    /// The first file that says so.
    file: Box<str>,
}

impl DeclaredTypes {
    /// Takes a package's declarations; gives the schema that its rules are checked against.
    pub(super) fn declare(
        &mut self,
        file: &PackageFile,
        schema: &Schema,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Schema {
        let mut own: Vec<(String, FieldType)> = Vec::new();
        for declared in &file.types {
            let name = declared.type_name.node.as_ref();
            let Some(kind) = FieldType::from_name(name) else {
                let names = FieldType::NAMES.map(|(known, _)| known);
                let message = format!("there is no type `{name}`");
                let range = range_of(declared.type_name.span);
                let help = did_you_mean(name, names)
                    .unwrap_or_else(|| format!("the types are {}", names.join(", ")));
                let error = error("unknown-type", &file.file, range, message);
                diagnostics.push(Diagnostic { help: Some(help), ..error });
                continue;
            };
            let parts = declared.path.node.parts.clone();
            let dotted = parts.join(".");
            let first = self
                .types
                .entry(parts)
                .or_insert_with(|| Declared { kind, file: file.file.clone() });
            if first.kind != kind {
                let message = format!(
                    "`{dotted}` is declared {} here, but {} in {}",
                    kind.as_str(),
                    first.kind.as_str(),
                    first.file
                );
                let range = range_of(declared.type_name.span);
                diagnostics.push(error("type-contradiction", &file.file, range, message));
            }
            own.push((dotted, kind));
        }
        schema.refine(own.iter().map(|(name, kind)| (name.as_str(), *kind)))
    }

    /// All declarations, in the order of their paths.
    pub(super) fn into_list(self) -> Vec<(Path, FieldType)> {
        self.types.into_iter().map(|(parts, declared)| (Path { parts }, declared.kind)).collect()
    }
}
