//! `docs/source-mapping.md`: its examples run as they stand there, and print what stands there.

use super::Command;
use std::path::Path;
use tempfile::TempDir;

/// A fenced block of the page, and the text before it.
struct Block<'a> {
    before: &'a str,
    language: &'a str,
    text: &'a str,
}

fn blocks(page: &str) -> Vec<Block<'_>> {
    let parts: Vec<&str> = page.split("```").collect();
    let fenced = parts.chunks_exact(2);
    fenced
        .map(|pair| {
            let (language, text) = pair[1].split_once('\n').expect("a first line");
            Block { before: pair[0].trim_end(), language, text }
        })
        .collect()
}

/// The file that a block is, where the text before it ends with its name: `` `app.toml`: ``.
fn file_of<'a>(block: &Block<'a>) -> Option<&'a str> {
    let line = block.before.lines().last()?;
    line.strip_suffix("`:")?.rsplit('`').next()
}

#[test]
fn the_examples_of_the_page_print_what_stands_there() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/source-mapping.md");
    let page = std::fs::read_to_string(page).expect("the page");
    let folder = TempDir::new().expect("a temporary folder");
    let mut runs = 0;
    let mut command: Option<&str> = None;
    // The first block tells what the commands are.
    for block in blocks(&page).iter().skip(1) {
        if let Some(name) = file_of(block) {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            std::fs::write(path, block.text).expect("a file");
        } else if block.language == "sh" {
            command = Some(block.text);
        } else {
            assert_eq!(block.language, "text", "a block that nobody reads:\n{}", block.text);
            let words = command.take().expect("a command before it").split_whitespace();
            let output = Command::new(env!("CARGO_BIN_EXE_beckon"))
                .args(words.skip(1))
                .current_dir(folder.path())
                .output()
                .expect("the binary");
            assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
            let printed = String::from_utf8(output.stdout).expect("UTF-8");
            // The last line says how long it took.
            let (shown, _) = printed.trim_end().rsplit_once('\n').expect("lines");
            assert_eq!(format!("{shown}\n"), block.text);
            runs += 1;
        }
    }
    assert_eq!((runs, command), (2, None), "each command has its output");
}
