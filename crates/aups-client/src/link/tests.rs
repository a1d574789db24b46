use super::*;

fn settings(url: &str) -> LinkSettings<'_> {
    LinkSettings {
        url,
        trust: &Trust::System,
        username: "alice",
        password: "secret",
        client_id: "c".into(),
        keep_alive: Duration::from_secs(30),
        session_expiry: Duration::from_hours(1),
        receive_max: NonZeroU16::MIN,
        answers_on: "aups/ks/alice",
    }
}

#[test]
fn acknowledgements_leave_in_the_order_of_arrival() {
    let mut unacknowledged = Unacknowledged::default();
    let tickets = [7, 8, 9].map(|packet_id| unacknowledged.push(1, packet_id));
    unacknowledged.done(tickets[1]);
    assert_eq!(unacknowledged.pop_done(), None, "the first is not done");
    unacknowledged.done(tickets[0]);
    assert_eq!(unacknowledged.pop_done(), Some((1, 7)));
    assert_eq!(unacknowledged.pop_done(), Some((1, 8)));
    assert_eq!(unacknowledged.pop_done(), None);
    unacknowledged.done(tickets[2]);
    assert_eq!(unacknowledged.pop_done(), Some((1, 9)));
}

#[test]
fn a_ticket_of_an_old_connection_acknowledges_nothing_on_the_new_one() {
    let mut unacknowledged = Unacknowledged::default();
    let old = unacknowledged.push(1, 7);
    unacknowledged.forget();
    let new = unacknowledged.push(2, 7);
    unacknowledged.done(old);
    assert_eq!(unacknowledged.pop_done(), None);
    unacknowledged.done(new);
    assert_eq!(unacknowledged.pop_done(), Some((2, 7)));
}

#[test]
fn what_names_no_broker_is_refused() {
    for url in ["http://127.0.0.1", "127.0.0.1:1883", "mqtt://", "wss://127.0.0.1", ""] {
        assert_eq!(options(&settings(url)).map(|_| ()), Err(ConnectError::Url(url.into())));
    }
}

#[test]
fn the_port_of_mqtt_is_the_default() {
    for (url, broker) in [
        ("mqtt://127.0.0.1:2000", ("127.0.0.1", 2000)),
        ("mqtt://broker.example", ("broker.example", 1883)),
        ("mqtt://[::1]:1884", ("[::1]", 1884)),
        ("mqtts://broker.example", ("broker.example", 8883)),
    ] {
        assert_eq!(options(&settings(url)).expect("a broker").broker().tcp_address(), Some(broker));
    }
}

#[tokio::test]
async fn a_broker_that_is_not_there_is_an_error_at_once() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("mqtt://{}", listener.local_addr().expect("an address"));
    drop(listener);
    let error = Link::connect(&settings(&url)).await.map(|_| ()).expect_err("nobody listens");
    assert!(matches!(&error, ConnectError::Unreachable { .. }), "{error}");
}
