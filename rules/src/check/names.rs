//! Names: the slots of fields, and the named steps of a sequence.

use super::Checker;
use crate::ast::{Path, Span, Spanned};
use crate::plan::{BindingSlot, FieldSlot};
use crate::program::{Load, Node};
use crate::schema::{FieldSpec, FieldType, Resolved};
use std::collections::{BTreeSet, HashMap};

/// The fields that any program reads, each once, numbered in the order of their first use.
#[derive(Debug, Default)]
pub(crate) struct Slots {
    paths: Vec<Path>,
    known: HashMap<Path, FieldSlot>,
}

impl Slots {
    /// The slot of a path; `None` when there are no more.
    pub(crate) fn of(&mut self, path: &Path) -> Option<FieldSlot> {
        if let Some(slot) = self.known.get(path) {
            return Some(*slot);
        }
        let slot = FieldSlot(u16::try_from(self.paths.len()).ok()?);
        self.paths.push(path.clone());
        self.known.insert(path.clone(), slot);
        Some(slot)
    }

    /// The path of a slot.
    pub(crate) fn path(&self, slot: FieldSlot) -> &Path {
        self.paths.get(usize::from(slot.0)).expect("slots are given by this table")
    }

    /// The paths, by slot.
    pub(crate) fn into_paths(self) -> Vec<Path> {
        self.paths
    }
}

/// The named steps of one query.
#[derive(Debug, Default)]
pub(crate) struct Bindings {
    /// Every `as name`, with the step that it names, in order.
    named: Vec<(Box<str>, BindingSlot)>,
    /// The step whose condition is being checked: only names of steps before it may be used.
    pub(crate) step: u8,
    /// Why the condition being checked may use no name at all, if so.
    pub(crate) blind: Option<&'static str>,
    /// Steps whose events are read by others.
    used: BTreeSet<u8>,
}

impl Bindings {
    /// Adds a name.
    pub(crate) fn add(&mut self, name: &str, step: u8) {
        self.named.push((name.into(), BindingSlot(step)));
    }

    /// The step of that name.
    pub(crate) fn find(&self, name: &str) -> Option<BindingSlot> {
        self.named.iter().find(|(known, _)| known.as_ref() == name).map(|(_, step)| *step)
    }

    /// Says that a step's event is read.
    pub(crate) fn read(&mut self, step: BindingSlot) {
        self.used.insert(step.0);
    }

    /// Whether anything reads the step's event.
    pub(crate) fn is_read(&self, step: u8) -> bool {
        self.used.contains(&step)
    }
}

/// A field that an expression names.
#[derive(Debug)]
pub(crate) struct NamedField {
    /// How it is read.
    pub(crate) node: Node,
    /// What it holds.
    pub(crate) spec: FieldSpec,
}

impl NamedField {
    /// A field that no event has: what a wrong name is taken for, too.
    pub(crate) fn absent() -> Self {
        Self {
            node: Node::Constant(crate::ast::Literal::Null),
            spec: FieldSpec::one(FieldType::Any),
        }
    }
}

impl Checker<'_> {
    /// Finds out what a path names.
    pub(crate) fn field(&mut self, path: &Spanned<Path>, is_optional: bool) -> NamedField {
        let first = path.node.parts.first().map_or("", AsRef::as_ref);
        let Some(step) = self.bindings.find(first) else {
            return self.field_of(None, &path.node, (path.span, is_optional));
        };
        let rest = Path { parts: path.node.parts.iter().skip(1).cloned().collect() };
        if let Some(why) = self.bindings.blind {
            self.findings.error("unknown-step", path.span, why);
            NamedField::absent()
        } else if step.0 >= self.bindings.step {
            self.findings.error(
                "unknown-step",
                path.span,
                format!("`{first}` names this step or a later one; only earlier ones are known"),
            );
            NamedField::absent()
        } else if rest.parts.is_empty() {
            self.findings.error_with_help(
                "step-is-no-value",
                path.span,
                (
                    format!("`{first}` names a step, which has no value of its own"),
                    format!("name a field of it, as in `{first}.data.sku`"),
                ),
            );
            NamedField::absent()
        } else {
            self.bindings.read(step);
            self.field_of(Some(step), &rest, (path.span, is_optional))
        }
    }

    fn field_of(
        &mut self,
        step: Option<BindingSlot>,
        path: &Path,
        (span, is_optional): (Span, bool),
    ) -> NamedField {
        let spec = match self.schema.resolve(path) {
            Resolved::Declared(spec) | Resolved::Open(spec) => spec,
            Resolved::Absent => return NamedField::absent(),
            Resolved::Unknown => {
                if !is_optional {
                    self.unknown_field(path, span);
                }
                return NamedField::absent();
            }
            Resolved::Map => {
                let name = path.parts.join(".");
                self.findings.error_with_help(
                    "map-is-no-value",
                    span,
                    (
                        format!("`{name}` holds named values and is no value itself"),
                        format!("name one of them, as in `{name}.sku`"),
                    ),
                );
                return NamedField::absent();
            }
        };
        match self.slots.of(path) {
            Some(slot) => {
                NamedField { node: Node::Field(Load { step, slot, kind: spec.kind }), spec }
            }
            None => {
                self.findings.error(
                    "over-limit",
                    span,
                    format!("the rules name more than {} fields", u16::MAX),
                );
                NamedField::absent()
            }
        }
    }

    fn unknown_field(&mut self, path: &Path, span: Span) {
        let name = path.parts.join(".");
        let message = format!("there is no field `{name}`");
        let help = match self.schema.suggest(&name) {
            Some(known) => format!("did you mean `{known}`?"),
            None => "write `?` before a field that may be unknown".to_owned(),
        };
        self.findings.error_with_help("unknown-field", span, (message, help));
    }
}
