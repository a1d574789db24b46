use super::*;
use crate::demo::weather::SENSORS;

#[test]
fn the_view_tells_opened_from_denied() {
    for (opened, denied, told) in [(3, 0, "✓ 3"), (0, 4, "✗ 4"), (3, 4, "✓ 3 ✗ 4"), (0, 0, "✓ 0")] {
        assert_eq!(count(&Count { opened, denied }), told);
    }
}

#[test]
fn the_view_fits_a_terminal_of_80_columns() {
    let board = Board::new(READERS.map(|part| part.name).to_vec(), 8_760);
    let view = view(&board, Paint::plain());
    assert_eq!(view.lines().count(), 1 + SENSORS + 1);
    for line in view.lines().chain(HEAD.lines()) {
        assert!(line.chars().count() < 81, "{line}");
    }
}

#[test]
fn only_what_stands_out_is_called_doubtful() {
    let score = Score::from_hundredths;
    let wind = (score(90), score(90), "wind 6.2 m/s");
    let topics = [wind, (score(75), score(100), "irradiance 181 W/m2"), (score(0), score(90), "rain 500 mm")];
    assert_eq!(
        doubtful(topics.into_iter()).unwrap(),
        "least accurate: rain 500 mm scores 0.00, irradiance 181 W/m2 scores 0.75"
    );
    assert_eq!(doubtful([wind].into_iter()), None);
}
