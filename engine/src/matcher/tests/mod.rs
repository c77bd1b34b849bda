//! Tests of the whole matcher, by subject.

mod facts;
mod language;
mod late;
mod naive;
mod reach;
mod sequences;
mod visits;
mod waiting;
