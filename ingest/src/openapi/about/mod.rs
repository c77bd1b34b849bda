//! What is said of a route beside the table: one function for each, by part.

pub(crate) mod demo;
pub(crate) mod event;
pub(crate) mod events;
pub(crate) mod letters;
pub(crate) mod rules;
pub(crate) mod server;
pub(crate) mod visits;
pub(crate) mod webhooks;

use super::Schemas;
use crate::answer::RefusalBody;
use std::collections::BTreeMap;
use utoipa::openapi::header::Header;
use utoipa::openapi::path::{OperationBuilder, ParameterBuilder, ParameterIn};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::response::{Response, ResponseBuilder};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{Content, Ref, RefOr, Required, Schema};
use utoipa::{PartialSchema, ToSchema};

/// The kind of nearly all bodies and answers.
pub(super) const JSON: &str = "application/json";

/// The part of the API that a route belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tag {
    Events,
    Visits,
    Rules,
    DeadLetters,
    Webhooks,
    Server,
    Demo,
}

impl Tag {
    pub(super) const ALL: [Self; 7] = [
        Self::Events,
        Self::Visits,
        Self::Rules,
        Self::DeadLetters,
        Self::Webhooks,
        Self::Server,
        Self::Demo,
    ];

    /// Its name, and what it is about.
    pub(super) fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Events => ("events", "Events in"),
            Self::Visits => ("visits", "Messages to the pages of a visit"),
            Self::Rules => ("rules", "Packages of rules, and pauses of what they do"),
            Self::DeadLetters => ("dead letters", "Events that were rejected"),
            Self::Webhooks => ("webhooks", "Calls to other systems"),
            Self::Server => ("server", "Health, figures, and what happens now"),
            Self::Demo => ("demo", "The page of `serve --demo`"),
        }
    }
}

/// What is said of a route.
pub(crate) struct About {
    pub(super) tag: Tag,
    pub(super) operation: OperationBuilder,
    pub(super) answers: BTreeMap<u16, Response>,
    pub(super) schemas: Schemas,
    pub(super) reads_body: bool,
}

impl About {
    /// Its name for programs that are made of the document, and a line for people.
    pub(crate) fn new(tag: Tag, id: &str, summary: &str) -> Self {
        let operation = OperationBuilder::new()
            .operation_id(Some(id))
            .summary(Some(summary))
            .tag(tag.words().0);
        Self {
            tag,
            operation,
            answers: BTreeMap::new(),
            schemas: Schemas::new(),
            reads_body: false,
        }
    }

    fn detail(self, text: &str) -> Self {
        Self { operation: self.operation.description(Some(text)), ..self }
    }

    /// A parameter of the query that may be left out.
    fn query<T: PartialSchema>(self, name: &str, what: &str) -> Self {
        self.parameter(ParameterIn::Query, name, (T::schema(), what))
    }

    /// A header that may be left out.
    fn header<T: PartialSchema>(self, name: &str, what: &str) -> Self {
        self.parameter(ParameterIn::Header, name, (T::schema(), what))
    }

    fn parameter(self, place: ParameterIn, name: &str, of: (RefOr<Schema>, &str)) -> Self {
        let parameter = ParameterBuilder::new()
            .name(name)
            .parameter_in(place)
            .required(Required::False)
            .schema(Some(of.0))
            .description(Some(of.1));
        Self { operation: self.operation.parameter(parameter), ..self }
    }

    /// A JSON body.
    fn body<T: ToSchema>(self, what: &str) -> Self {
        let schema = vec![(JSON, reference::<T>())];
        self.with::<T>().body_of(Required::True, schema, what)
    }

    /// A JSON body, or none.
    fn may_have_body<T: ToSchema>(self, what: &str) -> Self {
        let schema = vec![(JSON, reference::<T>())];
        self.with::<T>().body_of(Required::False, schema, what)
    }

    fn body_of(
        mut self,
        required: Required,
        kinds: Vec<(&str, RefOr<Schema>)>,
        what: &str,
    ) -> Self {
        let body = RequestBodyBuilder::new().required(Some(required)).description(Some(what));
        let body = kinds
            .into_iter()
            .fold(body, |body, (kind, schema)| body.content(kind, Content::new(Some(schema))));
        self.operation = self.operation.request_body(Some(body.build()));
        self.reads_body = true;
        self
    }

    /// What is said of bodies holds, though none is asked for.
    fn reads_body(self) -> Self {
        Self { reads_body: true, ..self }
    }

    /// A JSON answer.
    fn answers<T: ToSchema>(self, status: u16, what: &str) -> Self {
        self.with::<T>().answers_as(status, JSON, (reference::<T>(), what))
    }

    /// A JSON answer of a mounted part, by the name of its schema.
    fn answers_named(self, status: u16, schema: &str, what: &str) -> Self {
        self.answers_as(status, JSON, (Ref::from_schema_name(schema).into(), what))
    }

    /// One of another kind; a second one of the same status is another kind of it.
    fn answers_as(mut self, status: u16, kind: &str, of: (RefOr<Schema>, &str)) -> Self {
        let content = Content::new(Some(of.0));
        let answer = self.answers.entry(status).or_insert_with(|| Response::new(of.1));
        answer.content.insert(kind.to_owned(), RefOr::T(content));
        self
    }

    /// An answer without a body.
    fn answers_nothing(mut self, status: u16, what: &str) -> Self {
        self.answers.insert(status, Response::new(what));
        self
    }

    /// A refusal that does not follow from who may use the route, nor from its reading a body.
    fn refuses(mut self, status: u16, what: &str) -> Self {
        self.answers.insert(status, refusal(status, what));
        self
    }

    /// Holds a type's schema, and those that it names.
    fn with<T: ToSchema>(mut self) -> Self {
        collect::<T>(&mut self.schemas);
        self
    }
}

/// Adds a type's schema, and those that it names.
pub(super) fn collect<T: ToSchema>(schemas: &mut Schemas) {
    schemas.push((T::name().into_owned(), T::schema()));
    T::schemas(schemas);
}

fn reference<T: ToSchema>() -> RefOr<Schema> {
    Ref::from_schema_name(T::name()).into()
}

/// A schema of any text.
fn text() -> RefOr<Schema> {
    ObjectBuilder::new().schema_type(Type::String).into()
}

/// A refusal as all of them are; one that may be tried again says when.
pub(super) fn refusal(status: u16, what: &str) -> Response {
    let content = Content::new(Some(reference::<RefusalBody<'_>>()));
    let answer = ResponseBuilder::new().description(what).content(JSON, content);
    let header = |kind, what: &str| {
        let schema = ObjectBuilder::new().schema_type(kind).build();
        let mut header = Header::new(schema);
        header.description = Some(what.to_owned());
        header
    };
    let answer = match status {
        401 => answer.header("WWW-Authenticate", header(Type::String, "Which schemes there are")),
        408 | 429 | 503 => answer
            .header("Retry-After", header(Type::Integer, "Seconds until it may be tried again")),
        _ => answer,
    };
    answer.build()
}
