//! `beckon config`: what is in force, and where it came from.

use crate::config::{self, ConfigArgs};
use crate::output;
use comfy_table::{ContentArrangement, Table};

/// Columns of the terminal that the table takes at the most; longer values go on below.
const WIDTH_MAX: u16 = 120;

/// Runs the command.
///
/// # Errors
/// When the configuration cannot be loaded.
pub(crate) fn run(args: &ConfigArgs) -> anyhow::Result<()> {
    let loaded = config::load(args, std::env::vars())?;
    let mut table = Table::new();
    table.load_style(comfy_table::presets::UTF8_BORDERS_ONLY);
    table.set_content_arrangement(ContentArrangement::Dynamic).set_width(WIDTH_MAX);
    table.set_header(["key", "value", "from"]);
    for (key, value, origin) in loaded.rows() {
        table.add_row([key, value, origin]);
    }
    output::line(&table.to_string())
}
