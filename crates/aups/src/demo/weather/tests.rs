use super::*;
use std::collections::HashSet;

fn line(hour: usize, sensor: usize) -> String {
    hours().unwrap()[hour - 1].line(sensor, UnixMillis(0)).unwrap()
}

#[test]
fn the_file_has_every_hour_of_a_year() {
    let hours = hours().unwrap();
    assert_eq!(hours.len(), 8_760);
    assert_eq!(hours.iter().map(|hour| &hour.observed).collect::<HashSet<_>>().len(), 8_760, "no hour comes twice");
}

#[test]
fn a_value_is_sent_as_it_stands_in_the_file_with_now_and_then() {
    assert_eq!(
        line(1, 0),
        r#"{"name":"temperature","value":10.0,"unit":"Cel","time":"1970-01-01T00:00:00.000Z","observed":"1988-01-01T01:00:00-05:00","hour":1,"tmy3Source":"A","tmy3Uncertainty":7}"#
    );
}

#[test]
fn only_a_percentage_is_sent_as_an_uncertainty() {
    assert!(line(8, 4).contains(r#""value":9,"unit":"W/m2","time":"1970-01-01T00:00:00.000Z","uncertainty":13,"#));
    assert!(!line(8, 4).contains("tmy3Uncertainty"));
}

#[test]
fn the_hour_24_belongs_to_the_next_day() {
    assert_eq!(observed("01/01/1988", "24:00").unwrap(), "1988-01-02T00:00:00-05:00");
    assert_eq!(observed("12/31/1980", "24:00").unwrap(), "1981-01-01T00:00:00-05:00");
    for (date, time) in [("13/01/1988", "01:00"), ("01/01", "01:00"), ("01/01/1988", "1")] {
        assert_eq!(observed(date, time), None);
    }
}

#[test]
fn every_sensor_has_its_column() {
    for (sensor, value) in ["10.0", "77", "993", "6.2", "0", "0"].into_iter().enumerate() {
        let name = QUANTITIES[sensor].name;
        assert!(line(1, sensor).starts_with(&format!(r#"{{"name":"{name}","value":{value},"#)), "{name}");
    }
}
