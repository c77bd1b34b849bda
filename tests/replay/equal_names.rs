//! Several logs of one name, as several servers write them.

use super::{line, replay, write, write_bytes};
use std::io::Write;

/// Events and duplicates of a replay.
fn counted(logs: &[&str]) -> [u64; 2] {
    let totals = &replay(logs)["totals"];
    ["events", "duplicates"].map(|name| totals[name].as_u64().expect("a number"))
}

#[test]
fn equal_lines_of_equally_named_logs_are_events_of_their_own() {
    let folder = tempfile::tempdir().expect("a folder");
    // What a balancer asks all servers in one second, at the same place of each log.
    let text = line(1, 1, "/health") + &line(2, 1, "/health");
    let logs =
        ["web1", "web2", "web3"].map(|web| write(&folder, &format!("{web}/access.log"), &text));
    let [one, two, three] = logs.each_ref().map(String::as_str);
    assert_eq!(counted(&[one, two, three]), [6, 0]);
    assert_eq!(counted(&[one, two, one]), [4, 2], "one path twice is one file");
    let by_another_path = two.replace("web2", "web1/../web2");
    assert_eq!(counted(&[one, two, &by_another_path]), [4, 2]);
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(text.as_bytes()).expect("memory");
    let packed = packer.finish().expect("memory");
    let packed = write_bytes(&folder, "web1/access.log.gz", &packed);
    assert_eq!(counted(&[one, &packed]), [2, 2], "packed beside itself it is the same log");
}
