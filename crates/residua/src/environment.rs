//! Options from the environment: `RESIDUA_BATCH_SIZE` for `--batch-size`.
//!
//! Options of trainings, devices and threads can be given like this, to every command that has them. The
//! command line comes first: an option on it counts rather than its variable, and one that does not
//! go with others makes the variables of those count for nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::env;

use clap::builder::BoolishValueParser;
use clap::error::{ContextKind, ContextValue};
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command, CommandFactory, Error, FromArgMatches, Id};
use residua::core::suggest::{did_you_mean, misspelt};

/// What the names of all variables begin with.
const PREFIX: &str = "RESIDUA_";

/// The groups of settings, whose options can come from the environment, in every command that has them.
const SETTING_GROUPS: [&str; 2] = ["settings", "variations"];

/// Other groups of which the same is true.
const OTHER_GROUPS: [&str; 2] = ["ComputeArgs", "LoadingArgs"];

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

/// The variables from which settings of a training come: those of options that the command line does not
/// give.
pub(crate) fn variables_of_settings<T: CommandFactory>() -> Vec<String> {
    let command = T::command();
    let Some(train) = command.find_subcommand("train") else {
        return Vec::new();
    };
    let of_settings = options_of(train, &SETTING_GROUPS);
    let of_settings = train
        .get_arguments()
        .filter(|arg| of_settings.contains(arg.get_id()));
    of_settings.filter_map(source).collect()
}

/// The variable from which an option of a training comes, if it comes from one.
pub(crate) fn variable_of<T: CommandFactory>(option: &str) -> Option<String> {
    let command = T::command();
    let train = command.find_subcommand("train")?;
    let mut arguments = train.get_arguments();
    arguments
        .find(|arg| arg.get_long() == Some(option))
        .and_then(source)
}

/// The variable that stands for an option: it is set, and the command line does not give the option.
fn source(arg: &Arg) -> Option<String> {
    set_in_stead_of(&names(arg))
}

/// The variable of an option with these long names, its own first, if it is set and the command line has
/// none of them.
fn set_in_stead_of(names: &[&str]) -> Option<String> {
    let variable = variable(names.first()?);
    let is_given = env::args_os().any(|argument| {
        let argument = argument.to_string_lossy();
        let option = argument.split('=').next().unwrap_or_default();
        option
            .strip_prefix("--")
            .is_some_and(|option| names.contains(&option))
    });
    (!is_given && env::var_os(&variable).is_some()).then_some(variable)
}

/// The long names of an option, its own first.
fn names(arg: &Arg) -> Vec<&str> {
    let own = arg.get_long().into_iter();
    own.chain(arg.get_all_aliases().unwrap_or_default())
        .collect()
}

/// What is to be said of variables that look as if they were meant for Residua and that no command reads:
/// a misspelt one would change nothing, and nobody would notice.
fn unread(command: &Command) -> Vec<String> {
    let mut options = Options::default();
    options.collect(command);
    let set = env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    let mut warnings: Vec<String> = set.filter_map(|name| options.warning(&name)).collect();
    warnings.sort();
    warnings
}

/// The variables of all options of all commands.
#[derive(Default)]
struct Options {
    /// Those that are read.
    read: BTreeSet<String>,
    /// Those of other names of the options, with the variable that is read.
    aliases: BTreeMap<String, String>,
    /// Those of options that do not come from the environment.
    others: BTreeSet<String>,
}

impl Options {
    fn collect(&mut self, command: &Command) {
        let taken = taken(command);
        for arg in command.get_arguments() {
            let mut names = names(arg).into_iter().map(variable);
            let Some(own) = names.next() else {
                continue;
            };
            if taken.contains(arg.get_id()) {
                self.aliases.extend(names.map(|alias| (alias, own.clone())));
                self.read.insert(own);
            } else {
                self.others.insert(own);
            }
        }
        for inner in command.get_subcommands() {
            self.collect(inner);
        }
    }

    /// Other programs may have variables of such names, so nothing is said of one that is like none of ours.
    fn warning(&self, name: &str) -> Option<String> {
        let wanted = name.strip_prefix(PREFIX)?;
        if self.read.contains(name) {
            return None;
        }
        let alias = self.aliases.get(name).map(String::as_str);
        let read = self
            .read
            .iter()
            .filter_map(|read| read.strip_prefix(PREFIX));
        let meant = alias
            .map(str::to_owned)
            .or_else(|| misspelt(wanted, read).map(|own| format!("{PREFIX}{own}")));
        let what = format!("the environment variable {name} is not read");
        match meant {
            Some(meant) => Some(format!("{what}{}", did_you_mean(&[meant]))),
            None if self.others.contains(name) => {
                let option = wanted.to_lowercase().replace('_', "-");
                Some(format!("{what}: --{option} is for the command line only"))
            }
            None => None,
        }
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
    let own = OWN.iter().filter(|(name, _)| *name == command.get_name());
    let own = own.map(|(_, option)| Id::from(*option));
    let shared = [SETTING_GROUPS, OTHER_GROUPS].concat();
    own.chain(options_of(command, &shared)).collect()
}

/// The options of these groups, and those beside the settings.
fn options_of(command: &Command, groups: &[&str]) -> Vec<Id> {
    let named = |name: &str| command.get_groups().find(|group| group.get_id() == name);
    let shared = groups.iter().filter_map(|name| named(name));
    let shared = shared.flat_map(|group| group.get_args()).cloned();
    let beside = named("settings").map_or(&[][..], |_| &BESIDE_SETTINGS[..]);
    shared.chain(beside.iter().copied().map(Id::from)).collect()
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
    let variable = set_in_stead_of(&[option.strip_prefix("--")?])?;
    Some(format!(
        "'{option}' comes from the environment variable {variable}"
    ))
}
