//! Options from the environment: `RESIDUA_BATCH_SIZE` for `--batch-size`.
//!
//! Options of trainings, devices and threads can be given like this, to every command that has them. The
//! command line comes first: an option on it counts rather than its variable, and one that does not
//! go with others makes the variables of those count for nothing.

use std::collections::BTreeSet;
use std::env;

use clap::builder::BoolishValueParser;
use clap::error::{ContextKind, ContextValue};
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command, CommandFactory, Error, FromArgMatches, Id};
use residua::core::suggest::{closest, did_you_mean};

/// What the names of all variables begin with.
const PREFIX: &str = "RESIDUA_";

/// The groups whose options can come from the environment, in every command that has them.
const GROUPS: [&str; 4] = ["settings", "variations", "ComputeArgs", "LoadingArgs"];

/// Options beside the group of settings that can: clap knows no groups of groups. (`--set` is given
/// several times, which a variable cannot be.)
const BESIDE_SETTINGS: [&str; 3] = ["data", "recipe", "config"];

/// Options of a command's own that can.
const OWN: [(&str, &str); 9] = [
    ("train", "model"),
    ("train", "out"),
    ("train", "ui"),
    ("train", "tensorboard"),
    ("train", "quiet"),
    ("lr-find", "model"),
    ("sweep", "model"),
    ("cross-validate", "model"),
    ("lr-find", "quiet"),
];

/// What the command line asks for, and the environment where it leaves something open.
pub(crate) fn parse<T: CommandFactory + FromArgMatches>() -> T {
    let command = T::command();
    // Help and the like are errors to clap; they ask for nothing that could exclude a variable.
    let alone = command.clone().ignore_errors(true).try_get_matches().ok();
    for warning in unread(&command) {
        eprintln!("warning: {warning}");
    }
    let matches = with_environment(command, alone.as_ref()).try_get_matches();
    let parsed = matches.and_then(|matches| T::from_arg_matches(&matches));
    parsed.unwrap_or_else(|error| naming_variables(error).exit())
}

/// The variables that are set and have a say in a training.
pub(crate) fn variables_of_training<T: CommandFactory>() -> Vec<String> {
    let command = T::command();
    let Some(train) = command.find_subcommand("train") else {
        return Vec::new();
    };
    let taken = taken(train);
    let of_training = train
        .get_arguments()
        .filter(|arg| taken.contains(arg.get_id()));
    let variables = of_training.filter_map(|arg| arg.get_long().map(variable));
    variables
        .filter(|name| env::var_os(name).is_some())
        .collect()
}

/// What is to be said of variables that look as if they were meant for Residua and that no command reads:
/// a misspelt one would change nothing, and nobody would notice.
fn unread(command: &Command) -> Vec<String> {
    let mut read = BTreeSet::new();
    let mut all = BTreeSet::new();
    collect_variables(command, &mut read, &mut all);
    let set = env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    let set = set.filter(|name| name.starts_with(PREFIX) && !read.contains(name));
    let mut warnings: Vec<String> = set
        .filter_map(|name| {
            let own = name.strip_prefix(PREFIX)?;
            let others = read.iter().filter_map(|other| other.strip_prefix(PREFIX));
            let near = closest(own, others);
            let near: Vec<String> = { near.iter() }
                .map(|near| format!("{PREFIX}{near}"))
                .collect();
            if all.contains(&name) {
                let option = own.to_lowercase().replace('_', "-");
                return Some(format!(
                    "the environment variable {name} is not read: --{option} is for the command line only"
                ));
            }
            // Other programs may have variables of such names.
            (!near.is_empty()).then(|| {
                let hint = did_you_mean(&near);
                format!("the environment variable {name} is not read{hint}")
            })
        })
        .collect();
    warnings.sort();
    warnings
}

/// The variables of the options that a command and those within it read, and of all their options.
fn collect_variables(command: &Command, read: &mut BTreeSet<String>, all: &mut BTreeSet<String>) {
    let taken = taken(command);
    for arg in command.get_arguments() {
        let Some(variable) = arg.get_long().map(variable) else {
            continue;
        };
        if taken.contains(arg.get_id()) {
            read.insert(variable.clone());
        }
        all.insert(variable);
    }
    for inner in command.get_subcommands() {
        collect_variables(inner, read, all);
    }
}

/// The same command, with options that may come from the environment. `given` is what the command line
/// says without it.
fn with_environment(command: Command, given: Option<&ArgMatches>) -> Command {
    let mut taken = taken(&command);
    if let Some(given) = given {
        let excluded = excluded(&command, given);
        taken.retain(|id| !excluded.contains(id));
    }
    command
        .mut_args(|arg| match arg.get_long().map(variable) {
            Some(variable) if taken.contains(arg.get_id()) => from_variable(arg, variable),
            _ => arg,
        })
        .mut_subcommands(|inner| {
            let chosen = given.and_then(ArgMatches::subcommand);
            let chosen = chosen.filter(|(name, _)| *name == inner.get_name());
            with_environment(inner, chosen.map(|(_, matches)| matches))
        })
}

/// The options that may come from the environment.
fn taken(command: &Command) -> Vec<Id> {
    let named = |name: &str| command.get_groups().find(|group| group.get_id() == name);
    let shared = GROUPS.into_iter().filter_map(named);
    let shared = shared.flat_map(|group| group.get_args()).cloned();
    let beside = named("settings").map_or(&[][..], |_| &BESIDE_SETTINGS[..]);
    let own = OWN.iter().filter(|(name, _)| *name == command.get_name());
    let own = own.map(|(_, option)| *option);
    shared
        .chain(beside.iter().copied().chain(own).map(Id::from))
        .collect()
}

/// The options that do not go with what is given.
fn excluded(command: &Command, given: &ArgMatches) -> Vec<Id> {
    let is_given =
        |arg: &Arg| given.value_source(arg.get_id().as_str()) == Some(ValueSource::CommandLine);
    let mut excluded = Vec::new();
    for arg in command.get_arguments() {
        for other in command.get_arg_conflicts_with(arg) {
            excluded.extend(is_given(arg).then(|| other.get_id().clone()));
            excluded.extend(is_given(other).then(|| arg.get_id().clone()));
        }
    }
    excluded
}

fn from_variable(arg: Arg, variable: String) -> Arg {
    let arg = match arg.get_action() {
        ArgAction::SetTrue => arg.value_parser(BoolishValueParser::new()),
        _ => arg,
    };
    arg.env(variable).hide_env_values(true)
}

fn variable(option: &str) -> String {
    format!("{PREFIX}{}", option.to_uppercase().replace('-', "_"))
}

/// The same error, with the variables that wrong options come from.
fn naming_variables(mut error: Error) -> Error {
    let options = [ContextKind::InvalidArg, ContextKind::PriorArg];
    let options = options.into_iter().filter_map(|kind| error.get(kind));
    let options = options.flat_map(|option| match option {
        ContextValue::String(option) => vec![option.clone()],
        ContextValue::Strings(options) => options.clone(),
        _ => Vec::new(),
    });
    let tips: Vec<_> = options.filter_map(|option| tip(&option)).collect();
    if !tips.is_empty() {
        let tips = tips.into_iter().map(Into::into).collect();
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(tips));
    }
    error
}

/// Where an option such as `--workers <N>` comes from, if not from the command line.
fn tip(option: &str) -> Option<String> {
    let option = option.split(' ').next()?;
    let variable = variable(option.strip_prefix("--")?);
    let is_option = |argument: String| argument.split('=').next() == Some(option);
    let is_given = env::args_os().any(|argument| argument.into_string().is_ok_and(is_option));
    (!is_given && env::var_os(&variable).is_some())
        .then(|| format!("'{option}' comes from the environment variable {variable}"))
}
