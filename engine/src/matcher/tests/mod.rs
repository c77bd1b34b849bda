//! Tests of the whole matcher, by subject.

mod facts;
mod naive;
mod sequences;
mod visits;
