use super::*;

#[test]
fn a_seed_repeats_its_numbers_and_another_or_another_stream_gives_others() {
    let of = |seed, stream| (0..64).map(|number| Draws::new(seed, stream).at(number)).collect::<Vec<_>>();
    assert_eq!(of(1, 0), of(1, 0));
    assert_ne!(of(1, 0), of(2, 0));
    assert_ne!(of(1, 0), of(1, 1));
}

#[test]
fn numbers_fill_their_range() {
    let draws = Draws::new(7, 0);
    let mut seen = [0_u32; 10];
    for number in 0..10_000 {
        seen[usize::try_from(draws.below(number, 10)).unwrap()] += 1;
        let fraction = draws.fraction(number);
        assert!(fraction > 0.0 && fraction <= 1.0);
    }
    assert!(seen.iter().all(|count| (800..1_200).contains(count)), "{seen:?}");
    assert_eq!(draws.below(0, 0), 0);
}
