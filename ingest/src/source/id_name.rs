//! What the ids of lines without one are derived from.
//!
//! **Invariant:** an input has the same ids wherever it lies and whatever packs it, and each line of
//! all inputs of a replay has one of its own. So of several files of one name the first one's ids
//! are those that it has alone, and the others' have their number in them. A file that is given
//! twice, also by another path, or packed beside itself, is one file.

use super::access_event::hash_of;
use super::input::Input;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The name of an input, as far as ids go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct IdName {
    name: String,
    /// Files of this name before it.
    before: u64,
}

impl IdName {
    /// Of each input, in their order.
    pub(super) fn of_all(inputs: &[Input]) -> Vec<Self> {
        let mut known: BTreeMap<String, BTreeMap<PathBuf, u64>> = BTreeMap::new();
        let of_one = |input: &Input| {
            let name = input.id_name();
            let files = known.entry(name.clone()).or_default();
            let count = files.len() as u64;
            let before = *files.entry(input.place()).or_insert(count);
            Self { name, before }
        };
        inputs.iter().map(of_one).collect()
    }

    /// The id of a line: of the name, the line's number and its bytes. The bytes keep equally named
    /// files apart that are replayed one by one, but for lines that are the same at the same place.
    pub(super) fn derive(&self, line: u64, bytes: &[u8]) -> u128 {
        let (line, before) = (line.to_le_bytes(), self.before.to_le_bytes());
        let parts: [&[u8]; 5] = [b"line of an input", self.name.as_bytes(), &line, bytes, &before];
        hash_of(if self.before == 0 { &parts[..4] } else { &parts })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By another implementation of SHA-256. Ids of the first file stay as they are, since reports
    /// have them.
    #[test]
    fn ids_are_these() {
        let id = |before| IdName { name: "access.log".into(), before }.derive(3, b"a line");
        assert_eq!(id(0), 0x765c_af92_072a_4ad0_b1f4_1983_5b16_d40e);
        assert_eq!(id(1), 0xb01c_2717_1486_e98b_3f50_923a_b30c_1f2b);
    }

    #[test]
    fn one_file_has_one_number_whatever_path_leads_there() {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["a/x.log", "a/x.log.gz", "b/x.log", "c/x.log.zst"] {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            std::fs::write(path, "").expect("a file");
        }
        let linked = folder.path().join("d");
        std::os::unix::fs::symlink(folder.path().join("b"), linked).expect("a link");
        let inputs = ["b/x.log", "a/x.log.gz", "a/../a/x.log", "c/x.log.zst", "d/x.log", "-"];
        let inputs = inputs.map(|name| match name {
            "-" => Input::Stdin,
            name => Input::File(folder.path().join(name)),
        });
        let before: Vec<_> = IdName::of_all(&inputs).iter().map(|name| name.before).collect();
        assert_eq!(before, [0, 1, 1, 2, 0, 0]);
        // A pipe that a shell passes has a place that nobody can go to.
        let pipe = Input::File("/dev/fd/none".into());
        assert_eq!(pipe.place(), PathBuf::from("/dev/fd/none"));
    }
}
