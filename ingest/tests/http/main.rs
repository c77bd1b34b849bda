//! The HTTP side, one file for each behaviour, over the real router (and a real port where
//! connections matter). The log is a fake that can refuse and hold back.

mod bodies;
mod connections;
mod dead_letters;
mod demo;
mod described;
mod gwe;
mod identity;
mod keys;
mod limits;
mod live;
mod metrics;
mod openapi;
mod reach;
mod results;
mod routes;
mod rules;
mod scopes;
mod support;
mod tokens;
mod visits;
