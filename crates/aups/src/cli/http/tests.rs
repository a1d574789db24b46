use super::*;

#[test]
fn a_server_is_named_by_an_http_url() {
    for good in ["http://127.0.0.1:8080", "https://aups.example/realm/", "http://[::1]:80"] {
        assert!(server_url(good).is_ok(), "{good}");
    }
    for bad in ["", "127.0.0.1:8080", "mqtt://127.0.0.1", "localhost:8080", "http://"] {
        assert!(server_url(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_path_goes_below_the_servers_own() {
    assert_eq!(at(&server_url("http://h:1").unwrap(), "/v1/users"), "http://h:1/v1/users");
    assert_eq!(at(&server_url("https://h/realm/").unwrap(), "/v1/users"), "https://h/realm/v1/users");
}

#[test]
fn only_this_machine_is_loopback() {
    for (url, loopback) in [
        ("http://127.0.0.1:8080", true),
        ("http://localhost", true),
        ("http://[::1]:1", true),
        ("http://10.0.0.1", false),
        ("http://localhost.example", false),
    ] {
        assert_eq!(is_loopback(&server_url(url).unwrap()), loopback, "{url}");
    }
}

#[test]
fn an_answer_that_is_no_problem_is_told_by_its_status() {
    let told = problem(StatusCode::BAD_GATEWAY, b"<html>");
    assert_eq!((told.status, &*told.detail), (502, "the server answered 502 Bad Gateway"));
    let told = problem(StatusCode::CONFLICT, br#"{"type":"t","title":"T","status":409,"detail":"taken","extra":1}"#);
    assert_eq!(&*told.detail, "taken");
}

#[test]
fn a_query_keeps_what_was_typed() {
    assert_eq!(with_query("/v1/policies", &[]), "/v1/policies");
    let query = with_query("/v1/policies", &[("comment", "a&b = ü?"), ("version", "3")]);
    assert_eq!(query, "/v1/policies?comment=a%26b%20%3D%20%C3%BC%3F&version=3");
}
