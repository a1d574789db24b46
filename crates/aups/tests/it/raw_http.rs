//! HTTP as a hostile or an odd client speaks it, byte by byte.

use crate::program::Aups;
use serde_json::Value;
use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    time::Duration,
};

/// A connection to a server.
fn connect(aups: &Aups) -> TcpStream {
    let stream = TcpStream::connect(&aups.http).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream
}

/// Sends bytes and waits until the server hangs up; the statuses of all answers, in order.
fn statuses(aups: &Aups, bytes: &[u8]) -> Vec<u16> {
    let mut stream = connect(aups);
    // The server may have hung up already.
    let _ = stream.write_all(bytes);
    let mut answers = Vec::new();
    let _ = stream.read_to_end(&mut answers);
    let answers = String::from_utf8_lossy(&answers).into_owned();
    answers.split("HTTP/1.1 ").skip(1).map(|answer| answer.get(..3).unwrap().parse().unwrap()).collect()
}

/// Sends bytes and hangs up before the end.
fn break_off(aups: &Aups, bytes: &[u8]) {
    let mut stream = connect(aups);
    stream.write_all(bytes).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answers = Vec::new();
    let _ = stream.read_to_end(&mut answers);
    assert!(answers.is_empty() || answers.starts_with(b"HTTP/1.1 400 "), "{}", answers.escape_ascii());
}

/// A request after which the server hangs up.
fn last(headers: &str, body: &str) -> Vec<u8> {
    post(&format!("Connection: close\r\n{headers}"), body)
}

fn post(headers: &str, body: &str) -> Vec<u8> {
    format!("POST /data HTTP/1.1\r\nHost: h\r\n{headers}\r\n\r\n{body}").into_bytes()
}

fn accepted(aups: &Aups) -> u64 {
    let metrics = aups.request("GET", "/metrics", b"", &[]).body;
    let line = metrics.lines().find_map(|line| line.strip_prefix("aups_items_accepted_total "));
    line.map_or(0, |count| count.parse().unwrap())
}

#[test]
fn bodies_that_come_oddly_are_taken_for_what_they_are_or_refused() {
    let aups = Aups::start();
    let mut items = 0;
    for (what, bytes, expected, taken) in [
        (
            "chunks and trailers",
            last("Transfer-Encoding: chunked\r\nTrailer: X", "1\r\n1\r\n1;x=y\r\n2\r\n0\r\nX: y\r\n\r\n"),
            &[202][..],
            1,
        ),
        ("two at once", [post("Content-Length: 1", "1"), last("Content-Length: 5", "[1,2]")].concat(), &[202, 202], 3),
        // What is left over is the beginning of a request that never comes.
        ("a length too small", post("Content-Length: 1", "12"), &[202], 1),
        ("no length that is none", post("Content-Length: -1", "1"), &[400], 0),
        ("two lengths", post("Content-Length: 1\r\nContent-Length: 2", "12"), &[400], 0),
        ("a chunk that is none", post("Transfer-Encoding: chunked", "x\r\n1\r\n0\r\n\r\n"), &[400], 0),
        ("a chunk beyond numbers", post("Transfer-Encoding: chunked", "fffffffffffffffff\r\n1"), &[400], 0),
        ("another coding", post("Transfer-Encoding: gzip", "1"), &[400], 0),
        ("no body", last("Content-Length: 0", ""), &[400], 0),
        ("no HTTP", b"\x16\x03\x01\x00\xff\r\n\r\n".to_vec(), &[400], 0),
    ] {
        assert_eq!(statuses(&aups, &bytes), expected, "{what}");
        items += taken;
        assert_eq!(accepted(&aups), items, "{what}");
    }
    break_off(&aups, &post("Content-Length: 9", "1"));
    break_off(&aups, &post("Transfer-Encoding: chunked", "5\r\n1"));
    assert_eq!(accepted(&aups), items, "nothing of what broke off");
    // Both: RFC 9112 section 6.3 lets a server take the chunks, and must never let the rest pass for another request.
    let smuggled = "0\r\n\r\nPOST /data HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\n7";
    let both = post(&format!("Content-Length: {}\r\nTransfer-Encoding: chunked", smuggled.len()), smuggled);
    assert!(statuses(&aups, &both).iter().all(|status| *status == 400));
    assert_eq!(accepted(&aups), items);

    let lines = "2\r\n1\n\r\n".repeat(10_000);
    let many = last("Transfer-Encoding: chunked\r\nContent-Type: application/x-ndjson", &format!("{lines}0\r\n\r\n"));
    let credential = aups.source("sensor1");
    let many =
        String::from_utf8(many).unwrap().replace("Host: h", &format!("Host: h\r\nAuthorization: Bearer {credential}"));
    assert_eq!(statuses(&aups, many.as_bytes()), [202]);
    assert_eq!(accepted(&aups), items + 10_000);
}

/// Reads until an answer's head is there.
fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

#[test]
fn a_client_that_asks_first_is_told_before_it_sends() {
    let aups = Aups::start();
    let mut stream = connect(&aups);
    stream.write_all(&post("Expect: 100-continue\r\nContent-Length: 1", "")).unwrap();
    assert!(head(&mut stream).starts_with("HTTP/1.1 100 "));
    stream.write_all(b"1").unwrap();
    assert!(head(&mut stream).starts_with("HTTP/1.1 202 "));

    for (headers, status) in [
        ("Authorization: Bearer x\r\nContent-Length: 1", "401"),
        ("Content-Length: 2000000", "413"),
        ("Content-Type: text/plain\r\nContent-Length: 1", "415"),
        ("Content-Encoding: gzip\r\nContent-Length: 1", "415"),
    ] {
        let mut stream = connect(&aups);
        stream.write_all(&post(&format!("Expect: 100-continue\r\n{headers}"), "")).unwrap();
        let head = head(&mut stream);
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{headers}: {head}");
    }
}

#[test]
fn who_is_kept_out_is_answered_before_its_body_came_and_hung_up_on() {
    let aups = Aups::start();
    aups.ok(&["quarantine", "add", "address:127.0.0.1"]);
    let mut stream = connect(&aups);
    stream.write_all(&post("Content-Length: 1000000", "1")).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let head = head.to_lowercase();
    assert!(head.starts_with("http/1.1 429 ") && head.contains("connection: close"), "{head}");
    assert!(head.contains("retry-after: 3"), "{head}");
    assert_eq!(serde_json::from_str::<Value>(body).unwrap()["type"], "urn:aups:error:quarantined");
}

#[test]
fn compressed_bodies_are_refused_on_every_endpoint_that_takes_one() {
    let aups = Aups::start();
    let document = aups.request("GET", "/openapi.json", b"", &[]).json();
    let mut count = 0;
    for (route, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            if operation.get("requestBody").is_none() {
                continue;
            }
            let path = route.replace('{', "no-").replace('}', "");
            let headers = [("Content-Encoding", "gzip"), ("Content-Type", "application/json")];
            let answer = aups.admin_with(&method.to_uppercase(), &path, "\u{1f}\u{8b}", &headers);
            // What is not there, or asks for another kind of credential, need not look at the body.
            if !matches!(answer.status, 401 | 404) {
                // Where another media type is meant, that is seen first.
                let code = answer.problem(415);
                assert!(["content-coding", "media-type"].contains(&&*code), "{method} {route}: {code}");
                count += 1;
            }
        }
    }
    assert!(count >= 10, "{count}");
}
