use super::*;

#[test]
fn waits_double_up_to_the_last_one_and_never_pass_it() {
    let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));
    for whole in [100, 200, 400, 800, 1_000, 1_000] {
        let wait = backoff.next_wait().as_millis();
        assert!((whole / 2..=whole).contains(&wait), "{wait} ms, wanted {} to {whole}", whole / 2);
    }
}

#[test]
fn a_success_starts_from_the_first_wait_again() {
    let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));
    (0..40).for_each(|_| _ = backoff.next_wait());
    backoff.reset();
    assert!(backoff.next_wait() <= Duration::from_millis(100));
}
