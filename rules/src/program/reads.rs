//! What a program reads, for those who make its fields ready before it runs.

use super::{Load, Operation, Program, Term};
use crate::plan::{BindingSlot, FieldSlot};
use std::sync::Arc;

impl Program {
    /// Calls `each` for every field that the program reads, some more than once; with the step for
    /// a field of an earlier event, without for one of the event at hand.
    pub fn for_each_read(&self, mut each: impl FnMut(Option<BindingSlot>, FieldSlot)) {
        let mut read = |load: &Load| each(load.step, load.slot);
        for test in self.tests.iter() {
            match &test.term {
                Term::Constant { load, .. }
                | Term::IsNull(load)
                | Term::Member { load, .. }
                | Term::Fits { load, .. } => read(load),
                Term::Fields { left, right, .. } => {
                    read(left);
                    read(right);
                }
                Term::Value { .. } => {}
            }
        }
        for operation in self.operations.iter() {
            if let Operation::Field(load) = operation {
                read(load);
            }
        }
    }

    /// Whether both are one program, as the steps of `with runs=n` are. Two that merely say the
    /// same may not be told.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.tests, &other.tests) && Arc::ptr_eq(&self.operations, &other.operations)
    }
}

#[cfg(test)]
mod tests {
    use crate::compile::{PackageSources, SourceFile, compile};
    use crate::plan::{QueryPlan, RuleSet, SequencePlan};
    use crate::schema::Schema;
    use std::collections::BTreeSet;

    const RULE: &str = r#"
        name = "r"
        query = '''sequence
          [ A where data.a > 1 and length(data.b) == 2 and data.c == data.d ] with runs=2 as first
          [ B where data.e == first.data.f + 1 ]
        '''
        [action]
        type = "none"
    "#;

    fn rules() -> RuleSet {
        let file = SourceFile { file: "r.toml".to_owned(), text: RULE.to_owned() };
        let package = PackageSources {
            name: "com.example".to_owned(),
            package_file: None,
            rules: vec![file],
            is_operator: true,
            site: None,
        };
        let (rules, diagnostics) = compile(&[package], &Schema::event());
        rules.unwrap_or_else(|| panic!("{diagnostics:?}"))
    }

    fn sequence(rules: &RuleSet) -> &SequencePlan {
        match &rules.rules[0].query {
            QueryPlan::Sequence(sequence) => sequence,
            QueryPlan::Event(_) | QueryPlan::Sample(_) => panic!("a sequence"),
        }
    }

    #[test]
    fn every_field_is_told() {
        let rules = rules();
        let steps = &sequence(&rules).steps;
        let read = |program: &crate::program::Program| {
            let mut read = BTreeSet::new();
            program.for_each_read(|step, slot| {
                let field = rules.fields[usize::from(slot.0)].parts.join(".");
                read.insert((step.map(|step| step.0), field));
            });
            read.into_iter().collect::<Vec<_>>()
        };
        let own = steps[0].condition.as_ref().expect("a condition");
        let names = ["data.a", "data.b", "data.c", "data.d"];
        assert_eq!(read(own), names.map(|name| (None, name.to_owned())));
        let across = steps[2].across.as_ref().expect("a condition across steps");
        assert_eq!(read(across), [(None, "data.e".to_owned()), (Some(1), "data.f".to_owned())]);
    }

    #[test]
    fn the_steps_of_runs_share_a_program() {
        let rules = rules();
        let steps = &sequence(&rules).steps;
        let condition = |step: usize| steps[step].condition.as_ref().expect("a condition");
        assert!(condition(0).is_same(condition(1)));
        let other = self::rules();
        let again = sequence(&other).steps[0].condition.as_ref().expect("a condition");
        assert!(!condition(0).is_same(again));
    }
}
