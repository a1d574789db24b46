use super::*;

fn lines(input: &[u8]) -> Vec<Result<(usize, String), String>> {
    let (queue, mut lines) = mpsc::channel(16);
    read_lines(input, "input", &queue);
    drop(queue);
    std::iter::from_fn(|| lines.try_recv().ok())
        .map(|line| match line {
            Ok(line) => Ok((line.number, line.text)),
            Err(Failure::Told { error, .. }) => Err(error),
            Err(Failure::OutputClosed) => Err("closed".into()),
        })
        .collect()
}

#[test]
fn empty_lines_are_skipped_and_counted() {
    assert_eq!(lines(b"1\r\n\n  \n{}\n3"), [Ok((1, "1".into())), Ok((4, "{}".into())), Ok((5, "3".into()))]);
}

#[test]
fn a_line_that_is_too_long_or_not_utf8_ends_the_input_and_is_named() {
    let longest = "x".repeat(LINE_BYTES_MAX);
    assert_eq!(lines(format!("{longest}\n1").as_bytes()).len(), 2);
    let longer = lines(format!("1\n{longest}x\n1").as_bytes());
    assert_eq!(longer.last().unwrap().as_ref().unwrap_err(), "input, line 2: longer than 65536 bytes");
    assert_eq!(lines(b"\xff\n1"), [Err("input, line 1: not UTF-8".into())]);
}

#[tokio::test]
async fn a_slow_input_is_not_waited_for_once_something_is_at_hand() {
    let (queue, mut lines) = mpsc::channel(16);
    for number in 1..=3 {
        queue.send(Ok(Line { number, text: number.to_string() })).await.unwrap();
    }
    let mut batch = Vec::new();
    assert!(matches!(gather(&mut lines, 2, &mut batch).await, Gathered::More));
    assert_eq!(batch.len(), 2);
    assert!(matches!(gather(&mut lines, 2, &mut batch).await, Gathered::More));
    assert_eq!(batch.len(), 3);
    drop(queue);
    assert!(matches!(gather(&mut lines, 2, &mut batch).await, Gathered::End));
}
