//! `seeds FOLDER`: writes the seeds of every target into a folder of its name, for libFuzzer to begin with.

use std::path::PathBuf;

fn main() -> std::io::Result<()> {
    let folder: PathBuf =
        std::env::args_os().nth(1).unwrap_or_else(|| strata_fuzz::folder().join("corpus").into()).into();
    for target in strata_fuzz::TARGETS {
        let folder = folder.join(target.name);
        std::fs::create_dir_all(&folder)?;
        for (number, seed) in (target.seeds)().iter().enumerate() {
            std::fs::write(folder.join(format!("seed-{number:03}")), seed)?;
        }
    }
    Ok(())
}
