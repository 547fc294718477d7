//! Writes a run's curves for TensorBoard: `cargo run -p residua-watch --example tensorboard RUN FOLDER`.

use std::env;
use std::error::Error;
use std::path::Path;

use residua_core::run::RunFolder;
use residua_watch::tensorboard;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [run, folder] = arguments.as_slice() else {
        return Err("expected a run folder and the folder of the event file".into());
    };
    let file = tensorboard::convert(&RunFolder::open(run)?, Path::new(folder))?;
    println!("{}", file.display());
    Ok(())
}
