use super::*;

#[test]
fn where_there_is_a_choice_the_way_changes_when_nobody_answers_and_comes_back_to_http() {
    let start = Duration::from_secs(7);
    let mut ways = Ways::new(KeysOver::Either);
    assert_eq!(ways.next(start), Way::Http);
    ways.failed(Way::Http, start);
    assert_eq!(ways.next(start), Way::Mqtt);
    assert_eq!(ways.next(start + HTTP_AGAIN_AFTER), Way::Http);
    ways.failed(Way::Mqtt, start);
    assert_eq!(ways.next(start), Way::Http);
    for (keys_over, way) in [(KeysOver::Http, Way::Http), (KeysOver::Mqtt, Way::Mqtt)] {
        let mut ways = Ways::new(keys_over);
        for failing in [Way::Http, Way::Mqtt] {
            ways.failed(failing, start);
            assert_eq!(ways.next(start), way);
        }
    }
}

#[test]
fn a_way_is_given_by_its_name() {
    assert_eq!("mqtt".parse(), Ok(KeysOver::Mqtt));
    assert_eq!("MQTT".parse::<KeysOver>(), Err(KeysOverError));
}
