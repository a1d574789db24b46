use super::*;

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn one_address_cannot_take_every_place() {
    let places = Places::new(3, 2);
    let take = |from: &str| places.take(address(from));
    let mut here = vec![take("192.0.2.1").unwrap(), take("192.0.2.1").unwrap()];
    assert_eq!(take("192.0.2.1").unwrap_err(), NoPlace::Address);
    assert_eq!(take("::ffff:192.0.2.1").unwrap_err(), NoPlace::Address, "that is the same");
    here.push(take("192.0.2.2").expect("others get in"));
    assert_eq!(take("192.0.2.3").unwrap_err(), NoPlace::Full);
    here.remove(0);
    here.push(take("192.0.2.1").expect("one has left"));
    drop(here);
    assert!(places.lock().by_address.is_empty() && places.lock().all == 0, "nothing is kept of who was here");
}

#[test]
fn the_owner_of_an_ipv6_network_is_one_peer() {
    let network = |text: &str| sender_network(address(text));
    assert_eq!(network("2001:db8:1:2:3::4"), network("2001:db8:1:2:ffff::1"));
    assert_ne!(network("2001:db8:1:2::"), network("2001:db8:1:3::"));
    assert_eq!(network("::ffff:10.0.0.1"), network("10.0.0.1"));
    assert_ne!(network("10.0.0.1"), network("10.0.0.2"));
    let places = Places::new(9, 1);
    let _one = places.take(address("2001:db8::1")).unwrap();
    assert_eq!(places.take(address("2001:db8::2")).unwrap_err(), NoPlace::Address);
    assert!(places.take(address("2001:db8:0:1::1")).is_ok());
}
