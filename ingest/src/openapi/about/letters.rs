//! What is said of dead letters.

use super::{About, Tag};
use crate::dead_letters::{Letter, LetterId};
use crate::letters::{Page, ReplayWanted, Replayed};

pub(crate) fn list() -> About {
    About::new(Tag::DeadLetters, "listDeadLetters", "Lists rejected events, oldest first")
        .query::<u64>("after", "Those behind this one: `next` of the answer before")
        .query::<u64>("limit", "So many at most, 1 to 1,000; 100 where nothing is said")
        .query::<String>("site", "Those of this site")
        .query::<String>("key", "Those of this write key, by its name")
        .query::<String>("code", "Those that were rejected for this reason")
        .query::<bool>("is_replayed", "Those that were replayed, or were not")
        .with::<LetterId>()
        .answers::<Page>(200, "A page of them, without what came")
        .refuses(400, "A parameter is not known, or has not the form that it should")
}

pub(crate) fn show() -> About {
    About::new(Tag::DeadLetters, "showDeadLetter", "Shows a rejected event with what came")
        .answers::<Letter>(200, "The letter")
        .refuses(400, "The id is no number")
        .refuses(404, "There is no such letter; they are kept for some days")
}

pub(crate) fn replay() -> About {
    About::new(
        Tag::DeadLetters,
        "replayDeadLetters",
        "Sends rejected events through today's checks",
    )
    .detail("A second replay of a letter is a duplicate.")
    .body::<ReplayWanted>("Some letters by their ids, or those that a filter finds")
    .answers::<Replayed>(200, "What became of each; what is taken is on disk")
}
