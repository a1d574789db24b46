//! The raw data, written as it comes.

use anyhow::Context as _;
use csv::Writer;
use std::{
    fs::{self, File},
    path::Path,
    sync::{Arc, Mutex},
};

/// One file of packets, one of the load of the processor.
pub(super) struct RawFiles {
    latencies: Arc<Mutex<Writer<File>>>,
    cpu: Writer<File>,
}

impl RawFiles {
    /// Makes them anew in a folder.
    pub(super) fn create(folder: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
        let file = |name: &str, columns: &[&str]| {
            let path = folder.join(name);
            let mut file = Writer::from_path(&path).with_context(|| format!("cannot write {}", path.display()))?;
            file.write_record(columns).with_context(|| format!("cannot write {}", path.display()))?;
            Ok::<_, anyhow::Error>(file)
        };
        let latencies = file("latency.csv", &["run", "number", "source", "answered_us", "user1_us", "user2_us"])?;
        let cpu = file("cpu.csv", &["run", "second", "percent_of_one_core"])?;
        Ok(Self { latencies: Arc::new(Mutex::new(latencies)), cpu })
    }

    /// Where packets go.
    pub(super) fn latencies(&self) -> Arc<Mutex<Writer<File>>> {
        Arc::clone(&self.latencies)
    }

    pub(super) fn note_cpu(&mut self, run: &str, second: usize, percent: f64) -> anyhow::Result<()> {
        let record = [run.to_owned(), second.to_string(), format!("{percent:.3}")];
        self.cpu.write_record(record).and_then(|()| Ok(self.cpu.flush()?)).context("cannot write cpu.csv")
    }
}
