//! Descriptions of what routes read and answer with; who mounts them puts them together.

use utoipa::ToSchema;
use utoipa::openapi::{RefOr, Schema};

/// Descriptions of JSON, each by its name.
pub type Schemas = Vec<(String, RefOr<Schema>)>;

/// A type's, and those that it names.
pub(crate) fn schema<T: ToSchema>() -> Schemas {
    let mut schemas = vec![(T::name().into_owned(), T::schema())];
    T::schemas(&mut schemas);
    schemas
}
