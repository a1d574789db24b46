use super::*;

fn item(hour: usize, value: &str, accuracy: &str) -> Item {
    serde_json::from_str(&format!(
        r#"{{"id":"019aaa4e-0000-7000-8000-000000000000","source":{{"nodeId":"sensor6","nodeType":"sensor","communicationMode":"discrete","registered":true}},"schema":"default","receivedAt":"2026-11-22T13:27:31.500Z","data":{{"name":"rain","value":{value},"unit":"mm","hour":{hour}}},"security":{{"confidentiality":0.9,"integrity":0.9,"privacy":0.5,"authentication":0.9}},"quality":{{"accuracy":{accuracy},"precision":1.0,"timeliness":1.0,"completeness":1.0}}}}"#
    ))
    .unwrap()
}

fn rain() -> Topic {
    topics()[5].parse().unwrap()
}

#[test]
fn a_reader_has_seen_a_message_that_it_opened_or_was_denied() {
    let board = Board::new(vec![OPERATOR, "guest"], 2);
    assert_eq!((board.missing(0), board.missing(1)), (12, 12));
    board.sending(5, 2);
    board.sent(5, 2);
    board.opened(0, &rain(), &item(1, "0", "0.9"));
    board.denied(1, &rain());
    board.denied(1, &rain());
    assert_eq!((board.missing(0), board.missing(1)), (11, 10));
    assert_eq!(board.progress(), (2, 12));
    assert!(!board.all_sent());
}

#[test]
fn what_was_opened_shows_the_newest_value_and_the_least_accuracy() {
    let board = Board::new(vec![OPERATOR], 3);
    for (hour, value, accuracy) in
        [(2, "300", "0.0"), (4, "500", "0.0"), (5, "1.5", "0.9"), (3, "300", "0.0"), (1, "0", "0.9")]
    {
        board.opened(0, &rain(), &item(hour, value, accuracy));
    }
    let (topic, row) = board.rows().pop().unwrap();
    assert_eq!(
        (topic.as_str(), row.newest.as_str(), row.doubtful.as_str()),
        ("greensboro/sensor6/rain", "1.5 mm", "rain 500 mm")
    );
    assert_eq!(row.accuracy, Some((Score::ZERO, Score::from_hundredths(90))));
}

#[test]
fn the_summary_is_for_scripts() {
    let board = Board::new(vec![OPERATOR, "meteo"], 1);
    for sensor in 0..SENSORS {
        board.sending(sensor, 1);
        board.sent(sensor, 1);
    }
    board.opened(0, &rain(), &item(1, "0", "0.9"));
    board.denied(1, &rain());
    let summary = board.summary(3);
    let lines: Vec<_> = summary.lines().collect();
    assert_eq!(lines[..3], ["sent 6 readings, 1 per topic", "reader meteo: opened 0, denied 1", "keys 3"]);
    assert!(lines[3].starts_with("latency p50 ") && lines[3].contains(" p99 "), "{}", lines[3]);
}
