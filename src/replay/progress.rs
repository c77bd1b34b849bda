//! The progress bar, on a terminal only.

use crate::output;
use indicatif::{ProgressBar, ProgressStyle};

/// How many steps pass between two looks at the bar.
const STEPS: u32 = 1_024;

/// A bar on standard error, or nothing where that is no terminal.
pub(super) struct Progress {
    bar: ProgressBar,
    steps: u32,
}

impl Progress {
    /// While inputs are read; `total_bytes` is not known of standard input.
    pub(super) fn reading(total_bytes: Option<u64>) -> Self {
        let bar = match total_bytes {
            Some(total) => ProgressBar::new(total),
            None => ProgressBar::new_spinner(),
        };
        bar.set_draw_target(output::progress_target());
        let template = match total_bytes {
            Some(_) => "reading  {wide_bar} {bytes}/{total_bytes} {eta}",
            None => "reading  {spinner} {bytes} {bytes_per_sec}",
        };
        bar.set_style(style(template));
        Self { bar, steps: 0 }
    }

    /// While what was sorted is matched.
    pub(super) fn matching(&mut self, events: u64) {
        self.bar.set_length(events);
        self.bar.set_position(0);
        self.bar.set_style(style("matching {wide_bar} {pos}/{len} {eta}"));
    }

    /// Moves the bar now and then.
    pub(super) fn advance_to(&mut self, position: u64) {
        self.steps += 1;
        if self.steps >= STEPS {
            self.steps = 0;
            self.bar.set_position(position);
        }
    }

    /// Takes the bar away.
    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("a constant template")
}
