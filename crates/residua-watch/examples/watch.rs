//! Shows a run on the terminal: `cargo run -p residua-watch --example watch RUN`.

use std::env;
use std::error::Error;

use residua_core::run::RunFolder;
use residua_watch::dashboard::{self, WatchOptions};

fn main() -> Result<(), Box<dyn Error>> {
    let run = env::args().nth(1).ok_or("expected a run folder")?;
    let ending = dashboard::watch(&RunFolder::open(run)?, &WatchOptions::default())?;
    println!("{ending:?}");
    Ok(())
}
