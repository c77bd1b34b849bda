//! A server that was killed goes on from its newest snapshot.

use super::support::{Server, beckon, configured_with, event, figure, ids_in_parquet, operator};
use std::path::Path;

const PAIR: &str = "sequence [ AddToCart where true ] [ Checkout where true ]";

fn start(folder: &Path) -> Server {
    Server::start(beckon(folder), &["--data", "data", "--rules", "rules"])
}

fn lay(folder: &Path) {
    let package = folder.join("rules/com.example.shop");
    std::fs::create_dir_all(&package).expect("a folder");
    let rule = format!("name = \"pair\"\nquery = '''{PAIR}'''\n[action]\ntype = \"none\"\n");
    std::fs::write(package.join("pair.toml"), rule).expect("a file");
}

#[test]
fn a_killed_server_goes_on_from_its_newest_snapshot() {
    let folder = configured_with("[engine]\nsnapshot_records = 1\n");
    lay(folder.path());
    let token = operator(folder.path());
    let server = start(folder.path());
    let sent = |server: &Server, name: &str, visit: u32| {
        server.send(&event(name, visit)).expect("an answer").ids("ok")
    };
    let mut ids = sent(&server, "AddToCart", 1);
    let mut events = 1;
    while figure(&server, &token, "beckon_snapshots_total") == 0 {
        sent(&server, "PageEntered", 2);
        events += 1;
    }
    // Dropping it kills it.
    drop(server);

    let mut server = start(folder.path());
    server.hear("going on from a snapshot");
    assert!(figure(&server, &token, "beckon_snapshot_epoch") > 0);
    ids.extend(sent(&server, "AddToCart", 3));
    sent(&server, "Checkout", 1);
    while figure(&server, &token, "beckon_engine_matches_total") == 0 {
        std::thread::yield_now();
    }
    let matched = figure(&server, &token, "beckon_engine_events_matched_total");
    assert!(matched < events, "{matched} of {events} events were matched again");
    let ended = server.stop();
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    assert_eq!(ids_in_parquet(&folder.path().join("data"), "AddToCart"), super::sorted(ids));
}
