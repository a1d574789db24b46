use super::*;

#[test]
fn a_broker_url_names_host_port_and_who_we_are() {
    let url: BrokerUrl = "mqtt://nos%40x:p%3a%25@broker.example:1884".parse().unwrap();
    let (user, password) = url.credentials.as_ref().unwrap();
    assert_eq!((&*url.host, url.port, &**user, password.expose()), ("broker.example", 1884, "nos@x", &b"p:%"[..]));
    assert_eq!(format!("{url} {url:?}"), "mqtt://broker.example:1884 mqtt://broker.example:1884");
    let url: BrokerUrl = "mqtt://[::1]/".parse().unwrap();
    assert_eq!((&*url.host, url.port, url.credentials.is_none()), ("::1", 1883, true));
}

#[test]
fn what_is_no_broker_url_is_refused_without_repeating_it() {
    assert_eq!("mqtts://h".parse::<BrokerUrl>().unwrap_err(), BrokerUrlError::Tls);
    for bad in
        ["", "h", "mqtt://", "mqtt://h:x", "mqtt://h/path", "mqtt://h?x=1", "http://h", "mqtt://u%zz@h", "mqtt://u%f@h"]
    {
        assert_eq!(bad.parse::<BrokerUrl>().unwrap_err(), BrokerUrlError::Form, "{bad}");
    }
}
