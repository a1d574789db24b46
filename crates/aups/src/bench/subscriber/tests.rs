use super::*;

#[test]
fn messages_are_counted_wherever_the_stream_is_cut() {
    // 5,000 bytes after three of the header.
    let long = [&[0x30, 0x88, 0x27][..], &[7; 5_000]].concat();
    let stream =
        [packet(0x30, &[0x31; 3]).unwrap(), packet(0xd0, &[]).unwrap(), long, packet(0x30, b"0").unwrap()].concat();
    for cut in 0..=stream.len() {
        let mut packets = Packets::default();
        let (before, after) = stream.split_at(cut);
        assert_eq!(packets.publishes_in(before) + packets.publishes_in(after), 3, "cut at {cut}");
    }
    let mut packets = Packets::default();
    assert_eq!(stream.chunks(1).map(|byte| packets.publishes_in(byte)).sum::<u64>(), 3);
}

#[test]
fn who_subscribes_logs_in() {
    let login = Login { username: "a".into(), password: "bc".into() };
    let expected = b"\x10\x13\0\x04MQTT\x04\xc2\0\0\0\0\0\x01a\0\x02bc";
    assert_eq!(connect(Some(&login)).unwrap(), expected);
    assert_eq!(connect(None).unwrap(), b"\x10\x0c\0\x04MQTT\x04\x02\0\0\0\0");
    assert_eq!(subscribe("data/#").unwrap(), b"\x82\x0b\0\x01\0\x06data/#\0");
}
