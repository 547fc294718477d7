//! The command line of Residua.

mod commands;
mod environment;
mod failure;
mod output;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::failure::{Failure, Status};

/// Image recognition with deep residual networks: train, evaluate and predict.
#[derive(Debug, Parser)]
#[command(
    name = "residua",
    version,
    propagate_version = true,
    arg_required_else_help = true
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Train a network; without options, a small one on the builtin images
    Train(Box<commands::train::TrainArgs>),
    /// Find a learning rate to begin with
    LrFind(Box<commands::lr_find::LrFindArgs>),
    /// Search for settings: train with many and see which are best
    Sweep(Box<commands::sweep::SweepArgs>),
    /// Train a network for each fold of its images, and judge all images by networks new to them
    CrossValidate(Box<commands::cross_validate::CrossValidateArgs>),
    /// Evaluate a trained network
    Eval(commands::eval::EvalArgs),
    /// List runs, or watch one on the terminal
    Runs(commands::runs::RunsArgs),
    /// Write a run as one page: curves, classes, calibration, mistakes
    Report(commands::report::ReportArgs),
    /// Compare networks: tables of accuracy, convergence and size, and figures
    Compare(Box<commands::compare::CompareArgs>),
    /// Repeat the experiments that residual networks come from
    Study(Box<commands::study::StudyArgs>),
    /// Name what is in pictures
    Predict(commands::predict::PredictArgs),
    /// Show which parts of pictures a decision comes from
    Explain(commands::explain::ExplainArgs),
    /// Turn pictures into points: what a network knows of them before it decides
    Embed(commands::embed::EmbedArgs),
    /// List the networks of the catalog, or show one
    Models(commands::models::ModelsArgs),
    /// Look into weight files, and convert them
    Weights(commands::weights::WeightsArgs),
    /// List recipes, or show one: settings by name
    Recipe(commands::recipe::RecipeArgs),
    /// Look at a data set before training on it
    Data(commands::data::DataArgs),
    /// Measure how fast networks train and infer
    Bench(commands::bench::BenchArgs),
}

fn main() -> ExitCode {
    let result = match environment::parse::<Cli>().command {
        Command::Train(args) => commands::train::run(&args),
        Command::LrFind(args) => commands::lr_find::run(&args),
        Command::Sweep(args) => commands::sweep::run(&args),
        Command::CrossValidate(args) => commands::cross_validate::run(&args),
        Command::Eval(args) => commands::eval::run(&args),
        Command::Runs(args) => commands::runs::run(&args),
        Command::Report(args) => commands::report::run(&args),
        Command::Compare(args) => commands::compare::run(&args),
        Command::Study(args) => commands::study::run(&args),
        Command::Predict(args) => commands::predict::run(&args),
        Command::Explain(args) => commands::explain::run(&args),
        Command::Embed(args) => commands::embed::run(&args),
        Command::Models(args) => commands::models::run(&args),
        Command::Weights(args) => commands::weights::run(&args),
        Command::Recipe(args) => commands::recipe::run(&args),
        Command::Data(args) => commands::data::run(&args),
        Command::Bench(args) => commands::bench::run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => report(&failure),
    }
}

fn report(failure: &Failure) -> ExitCode {
    // Being asked to stop is no error.
    let prefix = match failure.status {
        Status::Interrupted => "",
        _ => "error: ",
    };
    eprintln!("{prefix}{}", failure.message);
    failure.exit_code()
}
