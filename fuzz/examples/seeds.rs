//! Writes a target's seeds as files, for libFuzzer to begin with: `seeds TARGET FOLDER`.

use std::{env, error::Error, fs, path::PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [name, folder] = arguments.as_slice() else { return Err("usage: seeds TARGET FOLDER".into()) };
    let target = aups_fuzz::target(name).ok_or_else(|| format!("there is no target `{name}`"))?;
    let folder = PathBuf::from(folder);
    fs::create_dir_all(&folder)?;
    for (number, seed) in (target.seeds)().into_iter().enumerate() {
        fs::write(folder.join(format!("seed-{number}")), seed)?;
    }
    Ok(())
}
