//! Names that Beckon sets itself: what an event's row in the reports has and no input says.

/// The names, in the order of the events table, as JSON writes names; then those that stand for several.
const OWNED: [&str; 26] = [
    "logSequence",
    "epoch",
    "site",
    "partition",
    "visitInstance",
    "fate",
    "isLate",
    "textIDs",
    "serverTimestamp",
    "clientTimestamp",
    "userID",
    "visitScope",
    "verified",
    "unproven",
    "recordOnly",
    "userProven",
    "clamped",
    "skewCorrected",
    "madeUp",
    "ip",
    "isBot",
    "fields",
    "unreadable",
    "userAgent",
    "campaign",
    "flags",
];

/// What is derived stands below these.
const PREFIXES: [&str; 3] = ["url.", "userAgent.", "campaign."];

/// Whether Beckon sets a field of this name itself.
pub(crate) fn is_owned(name: &str) -> bool {
    OWNED.contains(&name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}
