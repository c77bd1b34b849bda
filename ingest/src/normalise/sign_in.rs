//! Who a `SignIn` or `UserInfo` names, and whether that is proven.

use super::{Context, Entries, Rejection, Sender, missing, wrong_type};
use crate::identity::Doubt;
use beckon_engine::model::Value;

/// Fields of `data` that prove a user; they never reach the log.
const PROOFS: [&str; 2] = ["userHash", "userToken"];

/// Takes the proofs out of `data`, whose `userID` then is a text: that of the token, where `data` has
/// none. `Err` in the answer: why the user is not proven.
pub(super) fn sign_in(
    data: &mut Entries,
    context: &Context<'_>,
) -> Result<Result<(), Doubt>, Rejection> {
    let [hash, token] = PROOFS.map(|name| take_text(data, name));
    let checks = context.identity.filter(|_| context.sender == Sender::Browser);
    let by_token = checks.zip(token).map(|(site, token)| site.user_of(&token, context.received));
    if let Some(Ok(user)) = &by_token
        && !data.iter().any(|(name, value)| &**name == "userID" && *value != Value::Null)
    {
        data.push(("userID".into(), Value::Str(user.as_str().into())));
    }
    let user = require_user(data)?;
    if context.sender == Sender::Server {
        return Ok(Ok(()));
    }
    Ok(match (by_token, checks.zip(hash)) {
        (Some(Ok(proven)), _) if proven == *user => Ok(()),
        (_, Some((site, hash))) => site.check_hash(user, &hash),
        (Some(Ok(_)), None) => Err(Doubt::Token),
        (Some(Err(doubt)), None) => Err(doubt),
        (None, None) => Err(Doubt::NoProof),
    })
}

/// A field's text; the field goes, whatever it holds.
fn take_text(data: &mut Entries, name: &str) -> Option<Box<str>> {
    let mut found = None;
    while let Some(at) = data.iter().position(|(field, _)| &**field == name) {
        if let (_, Value::Str(text)) = data.remove(at) {
            found = Some(text);
        }
    }
    found
}

/// Who signed in: the last `userID` counts, and an integer stands for its digits.
fn require_user(data: &mut Entries) -> Result<&str, Rejection> {
    let user = data.iter_mut().rev().find(|(name, _)| &**name == "userID");
    let Some((_, user)) = user else { return Err(missing("data.userID")) };
    if let Value::Int(number) = user {
        *user = Value::Str(number.to_string().into());
    }
    match user {
        Value::Str(text) if !text.is_empty() => Ok(text),
        Value::Null | Value::Str(_) => Err(missing("data.userID")),
        _ => Err(wrong_type("data.userID", "of another type", "a text or an integer")),
    }
}
