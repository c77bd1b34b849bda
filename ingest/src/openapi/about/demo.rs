//! What is said of the demo.

use super::{About, Tag, text};
use crate::figures::VisitProgress;

const NOT_HERE: &str = "The demo is shown to its own machine only";

pub(crate) fn page() -> About {
    About::new(Tag::Demo, "showDemo", "The page to click on")
        .answers_as(200, "text/html; charset=utf-8", (text(), "The page"))
        .refuses(403, NOT_HERE)
}

pub(crate) fn part() -> About {
    let kinds = ["text/css", "text/javascript", "image/svg+xml"];
    let about = About::new(Tag::Demo, "showDemoFile", "A file of the page");
    let about = kinds.into_iter().fold(about, |about, kind| {
        about.answers_as(200, &format!("{kind}; charset=utf-8"), (text(), "The file"))
    });
    about.refuses(403, NOT_HERE).refuses(404, "There is no such file")
}

pub(crate) fn progress() -> About {
    About::new(Tag::Demo, "showProgress", "How far the rules have come in a visit")
        .answers::<VisitProgress>(200, "As far as it is remembered")
        .refuses(403, NOT_HERE)
        .refuses(404, "The visit is no id")
}
