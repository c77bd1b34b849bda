//! Who the visitor is: the identity states of the GWE event model, stamped in log order.
//!
//! | from \ event     | `SignIn(u)`        | `SignOut`       | `UserInfo(u)`     |
//! |------------------|--------------------|-----------------|-------------------|
//! | Anonymous        | Authenticated(u)   | -               | Recognized(u)     |
//! | Recognized(u)    | Authenticated(u)   | -               | Recognized(u)     |
//! | Authenticated(u) | Authenticated(u')  | Recognized(u)   | -                 |
//!
//! The stamping event itself already carries the new identity.

use crate::model::{EventView, FieldName, Flags, Identity, ValueView, VisitScope, system};
use std::sync::Arc;

/// The field of `data` that says who it is.
const USER_ID: &str = "userID";

/// Takes an event of a visit, in log order, into account.
pub(super) fn advance(identity: &mut Identity, event: &EventView<'_>) {
    let scope = match (event.name, identity.scope) {
        (system::SIGN_IN, _) => VisitScope::Authenticated,
        (system::USER_INFO, VisitScope::Anonymous | VisitScope::Recognized) => {
            VisitScope::Recognized
        }
        (system::SIGN_OUT, VisitScope::Authenticated) => {
            identity.scope = VisitScope::Recognized;
            return;
        }
        _ => return,
    };
    if let Some(user) = user_of(event) {
        let verified = event.flags.has(Flags::VERIFIED);
        *identity = Identity { scope, user: Some(user), verified };
    }
}

/// `data.userID`, if it is text.
fn user_of(event: &EventView<'_>) -> Option<Arc<str>> {
    let mut user = None;
    let walked = event.for_each_field(|name, value| {
        if is_data(name)
            && let ValueView::Map(entries) = value
        {
            let values = entries.flatten().filter(|(key, _)| *key == USER_ID);
            user = values.last().map(|(_, value)| value);
        }
    });
    match (walked, user) {
        (Ok(()), Some(ValueView::Str(text))) => Some(text.into()),
        _ => None,
    }
}

fn is_data(name: FieldName<'_>) -> bool {
    name.as_str() == "data"
}
