//! What the simulated disk keeps, loses and holds.

use super::*;

fn bytes_of(disk: &SimDisk, path: &str) -> Option<Vec<u8>> {
    let file = disk.open(Path::new(path)).ok()?;
    let mut buffer = vec![0; position(file.bytes().expect("known"))];
    file.read_at(0, &mut buffer).expect("read");
    Some(buffer)
}

#[test]
fn only_what_is_synced_is_sure_to_survive() {
    let disk = SimDisk::default();
    let file = disk.create(Path::new("d/a")).expect("made");
    file.write_at(0, b"synced").expect("written");
    file.sync().expect("synced");
    disk.sync_dir(Path::new("d")).expect("synced");
    file.write_at(6, &[b'x'; 2_000]).expect("written");
    disk.create(Path::new("d/b")).expect("made");
    let crashes = (0..200).map(|seed| disk.crash(seed)).collect::<Vec<_>>();
    for crashed in &crashes {
        assert!(bytes_of(crashed, "d/a").expect("there").starts_with(b"synced"));
    }
    let lengths = crashes.iter().map(|disk| bytes_of(disk, "d/a").map(|bytes| bytes.len()));
    let lengths = lengths.collect::<BTreeSet<_>>();
    assert!(lengths.len() > 20, "every crash tears alike: {lengths:?}");
    let torn = crashes.iter().filter_map(|disk| bytes_of(disk, "d/a"));
    assert!(torn.clone().any(|bytes| bytes.len() == 2_006 && bytes.contains(&0)), "holes");
    assert!(crashes.iter().any(|disk| bytes_of(disk, "d/b").is_none()), "names are lost");
    assert!(crashes.iter().any(|disk| bytes_of(disk, "d/b").is_some()), "names survive");
}

#[test]
fn what_a_failed_sync_gave_up_stays_lost() {
    let disk = SimDisk::default();
    let file = disk.create(Path::new("d/a")).expect("made");
    disk.sync_dir(Path::new("d")).expect("synced");
    file.write_at(0, b"lost").expect("written");
    disk.fail_sync(1);
    assert!(file.sync().is_err());
    file.sync().expect("the next one claims success");
    assert_eq!(bytes_of(&disk.exit(), "d/a"), Some(b"lost".to_vec()));
    assert_eq!(bytes_of(&disk.crash(1), "d/a"), Some(Vec::new()));
}

#[test]
fn a_folder_is_there_as_long_as_a_file_in_it() {
    let disk = SimDisk::default();
    for path in ["d/b/c/one", "d/b/two", "d/a/three", "d/four", "e/f/five"] {
        disk.create(Path::new(path)).expect("made");
    }
    let dirs = |dir: &str| disk.list_dirs(Path::new(dir)).expect("listed");
    assert_eq!(dirs("d"), ["a", "b"]);
    disk.remove(Path::new("d/a/three")).expect("removed");
    assert_eq!(dirs("d"), ["b"]);
    assert_eq!(dirs("d/b/c"), [""; 0]);
}

#[test]
fn a_full_disk_takes_a_part() {
    let disk = SimDisk::new(4);
    let file = disk.create(Path::new("d/a")).expect("made");
    let error = file.write_at(0, b"hello").expect_err("too much");
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    assert_eq!(bytes_of(&disk, "d/a"), Some(b"hell".to_vec()));
    assert_eq!(disk.free_bytes(Path::new("d")).expect("known"), 0);
}
