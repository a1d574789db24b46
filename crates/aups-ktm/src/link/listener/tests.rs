use super::*;

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn one_address_cannot_take_every_place_of_a_stranger() {
    let strangers = Arc::new(Strangers::default());
    let let_in = |from: &str| strangers.let_in(address(from));
    let mut here: Vec<_> = (0..STRANGERS_PER_ADDRESS_MAX).map(|_| let_in("192.0.2.1").unwrap()).collect();
    assert!(let_in("192.0.2.1").is_none() && let_in("::ffff:192.0.2.1").is_none(), "that is the same");
    let other = let_in("192.0.2.2").expect("others get in");
    drop(here.pop());
    here.push(let_in("192.0.2.1").expect("one has left"));
    drop((here, other));
    assert!(strangers.lock().is_empty(), "nothing is kept of who was here");
}

#[test]
fn sixty_four_bits_of_ipv6_are_one_address_and_all_together_are_bounded() {
    let strangers = Arc::new(Strangers::default());
    let from = |net: usize, host: usize| strangers.let_in(address(&format!("2001:db8:0:{net:x}::{host:x}")));
    let mut here = Vec::new();
    for net in 0..STRANGERS_MAX / STRANGERS_PER_ADDRESS_MAX {
        here.extend((0..STRANGERS_PER_ADDRESS_MAX).map(|host| from(net, host).unwrap()));
        assert!(from(net, STRANGERS_PER_ADDRESS_MAX).is_none());
    }
    assert_eq!(here.len(), STRANGERS_MAX);
    assert!(from(99, 0).is_none());
}
