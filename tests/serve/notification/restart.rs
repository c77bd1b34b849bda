//! A server that is killed while messages are under way.

use super::*;

#[test]
fn after_a_kill_nothing_that_holds_is_lost_and_nothing_acknowledged_comes_again() {
    let (folder, server, token) = started("");
    let messages = "[{\"channel\":\"a\"},{\"channel\":\"b\"},{\"channel\":\"c\"}]";
    assert_eq!(notify(&server, &token, messages).status, 200);
    invite(&server);
    let mut stream = Stream::open(&server, &listen_path(""), &with_secret());
    let told: Vec<_> = (0..4).map(|_| stream.next()).collect();
    let of = |channel: &str| {
        let is_it = |event: &&listener::Event| event.data["channel"] == channel;
        told.iter().find(is_it).expect("told").id.clone()
    };
    assert_eq!(acknowledge(&server, &of("b"), "").status, 204);
    assert_eq!(acknowledge(&server, &of("chat"), "").status, 204);
    // Dropping it kills it.
    drop(server);

    let server = start(folder.path());
    let mut stream = Stream::open(&server, &listen_path(""), &with_secret());
    let again = [stream.next(), stream.next()].map(|event| event.id);
    assert_eq!(again, [of("a"), of("c")]);
    assert_eq!(acknowledge(&server, &of("b"), "").status, 204, "it is remembered");
    // What was acknowledged before is told when it is taken back behind.
    sent(&server, "Paid", 2_000);
    let taken_back = stream.next();
    assert_eq!((taken_back.name.as_str(), taken_back.id), ("withdrawn", of("chat")));
    assert_eq!(acknowledge(&server, &of("a"), "").status, 204);
    assert_eq!(server.stop().code, Some(0));

    let rows = deliveries(folder.path());
    let said = |id: &str| -> Vec<_> {
        let rows = rows.iter().filter(|row| row[0] == id);
        rows.map(|row| row[1].as_str()).collect()
    };
    assert_eq!(said(&of("a")), ["delivered", "acknowledged"]);
    assert_eq!(said(&of("b")), ["delivered", "acknowledged"]);
    assert_eq!(said(&of("c")), ["delivered"], "it holds still");
    assert_eq!(said(&of("chat")), ["delivered", "acknowledged", "withdrawn"]);
}

/// The time for which a message holds goes on while nobody runs.
#[test]
fn what_expired_while_the_server_was_down_is_recorded_so() {
    let sections = "[notification]\nnotify_expires_ms = 1000\nremembered_ms = 1000\n";
    let (folder, server, token) = started(sections);
    let begun = std::time::Instant::now();
    assert_eq!(notify(&server, &token, "[{\"channel\":\"a\"}]").status, 200);
    drop(server);
    while begun.elapsed().as_millis() < 1_100 {
        std::thread::yield_now();
    }
    let server = start(folder.path());
    while figure(&server, &token, "beckon_notification_messages_held") > 0
        || figure(&server, &token, "beckon_notification_messages_total") == 0
    {
        std::thread::yield_now();
    }
    let ended = server.stop();
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    let rows = deliveries(folder.path());
    assert_eq!(rows.iter().map(|row| row[1].as_str()).collect::<Vec<_>>(), ["expired"]);
}

/// Nothing is under way, so no epoch comes by which the server would notice that it has read all.
#[test]
fn a_server_that_has_nothing_to_read_again_listens_at_once() {
    let (folder, server, token) = started("");
    server.stop();
    for _ in 0..2 {
        let server = start(folder.path());
        let unknown = || acknowledge(&server, &format!("{:032X}", 1), "").status;
        // Before it has read the outbox it does not know.
        let known = std::iter::repeat_with(unknown).find(|status| *status != 503);
        assert_eq!(known, Some(404));
        let mut stream = Stream::open(&server, &listen_path(""), &with_secret());
        assert_eq!(notify(&server, &token, "[{\"channel\":\"a\"}]").status, 200);
        let id = stream.next().id;
        assert_eq!(acknowledge(&server, &id, "").status, 204);
        assert_eq!(server.stop().code, Some(0));
    }
}
