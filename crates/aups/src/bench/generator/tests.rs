use super::*;
use crate::bench::workload::Shape;
use std::sync::mpsc::sync_channel;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

const TAKEN: &[u8] = b"HTTP/1.1 202 Accepted\r\nContent-Length: 14\r\n\r\n{\"accepted\":1}";

fn workload() -> Arc<Workload> {
    let shape = Shape {
        sources: 2,
        topics: 2,
        policies: 3,
        scopes: 1,
        key_life: Duration::from_mins(5),
        payload_bytes: 0,
        seed: 3,
    };
    Arc::new(Workload::new(shape).unwrap())
}

fn plan(pace: Pace, duration: Duration) -> Plan {
    Plan { connections: NonZeroUsize::MIN, pace, batch: None, duration, first: 0 }
}

fn target(http: SocketAddr) -> Target {
    Target { http, credentials: vec!["a".into(), "b".into()] }
}

/// Takes one connection, and answers each request with what `answer` gives for it, until there is nothing.
async fn server(mut answer: impl AsyncFnMut(u64) -> Option<Vec<u8>> + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::task::spawn_local(async move {
        let mut number = 0;
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = vec![0; 64 << 10];
            while let Ok(1..) = stream.read(&mut request).await {
                let Some(answer) = answer(number).await else { break };
                number += 1;
                stream.write_all(&answer).await.unwrap();
            }
        }
    });
    address
}

async fn in_place<T>(test: impl Future<Output = T>) -> T {
    LocalSet::new().run_until(test).await
}

#[tokio::test]
async fn a_stall_shows_in_the_latency_of_all_that_were_due_meanwhile() {
    const STALL: Duration = Duration::from_millis(200);
    in_place(async {
        let stalled = Rc::new(Cell::new(None));
        let ended = Rc::clone(&stalled);
        let address = server(async move |number| {
            if number == 10 {
                tokio::time::sleep(STALL).await;
                ended.set(Some(Instant::now()));
            }
            Some(TAKEN.to_vec())
        })
        .await;
        let (samples, seen) = sync_channel(1_000);
        let pace = Pace::Open { rate: 500.0, arrivals: Arrivals::Constant };
        let plan = plan(pace, Duration::from_secs(1));
        let (summary, _) =
            run(plan, target(address), workload(), move |sample: &Sample| samples.send(*sample).unwrap())
                .await
                .unwrap();
        assert_eq!((summary.unsent, summary.broken, summary.next), (0, 0, 500));
        let samples: Vec<_> = seen.try_iter().collect();
        assert_eq!(samples.len(), 500, "a stall keeps nothing from being sent");
        let begun = samples[0].due;
        let stalled = stalled.get().unwrap();
        let mut waited = 0;
        for sample in &samples {
            let due = begun + Duration::from_millis(2) * u32::try_from(sample.first).unwrap();
            assert!(
                sample.due.max(due).duration_since(sample.due.min(due)) < Duration::from_micros(1),
                "not moved by a stall"
            );
            if sample.first > 10 && sample.due < stalled {
                assert!(sample.written >= stalled && sample.latency() >= stalled.duration_since(due));
                waited += 1;
            }
        }
        assert!(waited >= 90, "{waited} were due in the meantime");
    })
    .await;
}

#[tokio::test]
async fn a_closed_loop_sends_when_the_request_before_was_answered() {
    in_place(async {
        let address = server(async |number| (number < 20).then(|| TAKEN.to_vec())).await;
        let (samples, seen) = sync_channel(100);
        let observe = move |sample: &Sample| samples.send(*sample).unwrap();
        let plan = Plan { first: 5, ..plan(Pace::Closed, Duration::from_millis(200)) };
        let (summary, _) = run(plan, target(address), workload(), observe).await.unwrap();
        let samples: Vec<_> = seen.try_iter().collect();
        assert!(summary.broken > 0 && samples.len() == 20, "{summary:?}");
        assert!(samples.iter().all(|sample| sample.due == sample.written));
        assert!(samples.is_sorted_by(|one, next| one.answered <= next.written && one.first < next.first));
        assert_eq!(samples[0].first, 5);
    })
    .await;
}

#[tokio::test]
async fn what_an_open_loop_cannot_send_is_told() {
    in_place(async {
        let address = server(async |_| {
            tokio::time::sleep(Duration::from_millis(300)).await;
            Some(TAKEN.to_vec())
        })
        .await;
        let pace = Pace::Open { rate: 100.0, arrivals: Arrivals::Poisson };
        let plan = plan(pace, Duration::from_millis(100));
        let due = Arrivals::Poisson.times(100.0, 3).take_while(|due| *due < Duration::from_millis(100)).count() as u64;
        let (summary, _) = run(plan, target(address), workload(), |_: &Sample| ()).await.unwrap();
        assert!(summary.unsent > 0 && summary.next + summary.unsent == due, "{summary:?} of {due}");
    })
    .await;
}

#[tokio::test]
async fn readings_that_a_refusal_took_count_and_broken_connections_are_told() {
    in_place(async {
        let refusal = br#"{"status":503,"accepted":3}"#;
        let refused =
            [format!("HTTP/1.1 503 x\r\ncontent-length: {}\r\n\r\n", refusal.len()).as_bytes(), refusal].concat();
        let address = server(async move |number| match number {
            0 => Some(TAKEN.to_vec()),
            1 => Some(refused.clone()),
            2 => Some(b"HTTP/1.1 413 x\r\nContent-Length: 2\r\n\r\n{}".to_vec()),
            _ => None,
        })
        .await;
        let pace = Pace::Open { rate: 1_000.0, arrivals: Arrivals::Constant };
        let plan = Plan { batch: NonZeroUsize::new(8), first: 80, ..plan(pace, Duration::from_micros(3_500)) };
        let (samples, seen) = sync_channel(10);
        let observe = move |sample: &Sample| samples.send((sample.first, sample.status, sample.accepted)).unwrap();
        let (summary, _) = run(plan, target(address), workload(), observe).await.unwrap();
        assert_eq!(seen.try_iter().collect::<Vec<_>>(), [(80, 202, 8), (88, 503, 3), (96, 413, 0)]);
        assert_eq!((summary.broken, summary.next), (1, 112));
    })
    .await;
}

#[test]
fn arrivals_keep_their_rate_and_a_seed_repeats_them() {
    let times = |arrivals: Arrivals, seed| arrivals.times(1_000.0, seed).take(20_001).collect::<Vec<_>>();
    assert_eq!(times(Arrivals::Constant, 1)[20_000], Duration::from_secs(20));
    let poisson = times(Arrivals::Poisson, 1);
    assert_eq!(poisson, times(Arrivals::Poisson, 1));
    assert_ne!(poisson, times(Arrivals::Poisson, 2));
    assert!(poisson.is_sorted());
    let seconds = poisson[20_000].as_secs_f64();
    assert!((19.0..21.0).contains(&seconds), "{seconds}");
    // Of exponential distances 1 - 1/e are shorter than the mean.
    let short = poisson.windows(2).filter(|pair| pair[1] < pair[0] + Duration::from_millis(1)).count();
    assert!((12_000..13_300).contains(&short), "{short}");
}
