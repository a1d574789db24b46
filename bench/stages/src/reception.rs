//! What a source sent becomes readings, and a reading gets its scores.

use crate::{
    Stage, measured,
    sample::{self, NOW},
};
use anyhow::{Context as _, anyhow};
use aups_core::{Reading, Source, UnixMillis};
use aups_nos::{
    ActiveConfig, Config, Transport,
    analyse::{Arrival, History, Scoring, Subject, analyse},
    json::Document,
    normalise::{Origin, normalise, senml},
};
use std::hint::black_box;

pub(crate) const STAGES: &[Stage] = &[
    Stage {
        name: "normalise-default",
        operation: "one reading read and normalised by the default mapping",
        times: 5_000,
        run: by_default,
    },
    Stage {
        name: "normalise-configured",
        operation: "one value read and normalised by a mapping of the administrator's",
        times: 5_000,
        run: by_mapping,
    },
    Stage {
        name: "normalise-senml",
        operation: "one SenML pack of ten records read and resolved",
        times: 1_000,
        run: by_senml,
    },
    Stage {
        name: "score",
        operation: "the eight scores of one reading, with a full window of history",
        times: 5_000,
        run: score,
    },
];

/// Different texts, over and over again.
const TEXTS: u32 = 64;

fn by_default(times: u32) -> anyhow::Result<()> {
    let texts: Vec<String> = (0..TEXTS).map(sample::reading).collect();
    measured(|| {
        repeated(&texts, times).try_for_each(|text| {
            let document = Document::read(black_box(text.as_bytes()))?;
            black_box(normalise(document.root(), true)).map_err(|error| anyhow!("{error}"))?;
            Ok(())
        })
    })
}

const MAPPING: &str = r#"{"mappings":[{"name":"station","when":{"present":["/readings/t"]},"items":[{"name":"temperature",
    "value":{"pointer":"/readings/t","scale":0.1,"offset":-40},"unit":"Cel","time":{"pointer":"/at","format":"unix"}}]}]}"#;

fn by_mapping(times: u32) -> anyhow::Result<()> {
    let config: Config = serde_json::from_str(MAPPING)?;
    let config = ActiveConfig::new(1, config).map_err(|errors| anyhow!("{errors:?}"))?;
    let texts: Vec<String> = (0..TEXTS)
        .map(|number| format!(r#"{{"station":"s-17","at":1780000000,"readings":{{"t":{},"rh":71}}}}"#, 600 + number))
        .collect();
    let origin = Origin { registered: true, node_id: Some("sensor1"), node_type: "sensor" };
    measured(|| {
        repeated(&texts, times).try_for_each(|text| {
            let document = Document::read(black_box(text.as_bytes()))?;
            let readings = config.mappings.apply(document.root(), origin).map_err(|excess| anyhow!("{excess}"))?;
            black_box(readings).context("the mapping does not fit")?;
            Ok(())
        })
    })
}

fn by_senml(times: u32) -> anyhow::Result<()> {
    let records = (1..10).map(|number| format!(r#",{{"n":"temperature","t":{number},"v":2{number}.5}}"#));
    let first = r#"{"bn":"sensor1/","bt":1779999000,"bu":"Cel","n":"temperature","v":20.5}"#;
    let pack = format!("[{first}{}]", records.collect::<String>());
    measured(|| {
        (0..times).try_for_each(|_| {
            let document = Document::read(black_box(pack.as_bytes()))?;
            black_box(senml::resolve(document.root(), NOW)).map_err(|error| anyhow!("{:?}", error.fault))?;
            Ok(())
        })
    })
}

fn score(times: u32) -> anyhow::Result<()> {
    let readings: Vec<Reading> =
        (0..TEXTS).map(|number| reading(&sample::reading(number))).collect::<Result<_, _>>()?;
    let source: Source = sample::item()?.source;
    let (scoring, history) = (Scoring::default(), History::default());
    let mut received_at = NOW;
    let mut score = |reading: &Reading| {
        received_at = UnixMillis(received_at.0 + 1_000);
        let arrival = Arrival { transport: Transport::Loopback, registered: true, sealed: None, received_at };
        let subject = Subject { reading: black_box(reading), schema: "default", source: &source };
        black_box(analyse(&subject, None, arrival, &scoring, &history));
    };
    // More than a window holds.
    readings.iter().for_each(&mut score);
    measured(|| repeated(&readings, times).for_each(score));
    Ok(())
}

fn reading(text: &str) -> anyhow::Result<Reading> {
    let document = Document::read(text.as_bytes())?;
    let normalised = normalise(document.root(), true).map_err(|error| anyhow!("{error}"))?;
    Ok(normalised.reading)
}

fn repeated<T>(all: &[T], times: u32) -> impl Iterator<Item = &T> {
    all.iter().cycle().zip(0..times).map(|(one, _)| one)
}
