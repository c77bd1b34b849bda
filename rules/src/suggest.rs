//! "Did you mean": the nearest of the names that would have been right.

/// The candidate that differs least from `word`, if it is near enough to be a slip of the keyboard:
/// equal but for case, or at most a third of its letters changed. The first of several wins, so
/// that the answer does not depend on anything but the order of the candidates.
#[must_use]
pub fn closest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let distance_max = (word.chars().count() / 3).max(1);
    let mut best: Option<(usize, &'a str)> = None;
    for candidate in candidates {
        if candidate.eq_ignore_ascii_case(word) {
            return Some(candidate);
        }
        let distance = strsim::osa_distance(word, candidate);
        let is_whole = distance >= candidate.chars().count();
        if distance <= distance_max && !is_whole && best.is_none_or(|(least, _)| distance < least) {
            best = Some((distance, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// ``did you mean `x`?``, if there is something near.
#[must_use]
pub fn did_you_mean<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<String> {
    closest(word, candidates).map(|candidate| format!("did you mean `{candidate}`?"))
}

#[cfg(test)]
mod tests {
    use super::closest;

    fn check(word: &str, expected: Option<&str>) {
        assert_eq!(closest(word, ["category", "url.path", "in", "eventName"]), expected, "{word}");
    }

    #[test]
    fn finds_slips_and_nothing_else() {
        check("catgory", Some("category"));
        check("categroy", Some("category"));
        check("EVENTNAME", Some("eventName"));
        check("urlpath", Some("url.path"));
        check("price", None);
        check("x", None);
    }
}
