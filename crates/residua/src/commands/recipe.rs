//! `residua recipe`: settings by name.

use clap::{Args, Subcommand};
use residua::data::DataSpec;
use residua::train::{Recipe, TrainConfig, settings_schema};
use serde::Serialize;

use crate::failure::Failure;
use crate::output::{self, Column};

#[derive(Debug, Args)]
pub(crate) struct RecipeArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// All recipes, what they are for and what they must reach
    List {
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// The file of a recipe: a copy of it, changed, is one too (`--recipe mine.toml`)
    Show {
        /// The recipe, or a file
        #[arg(value_name = "NAME|FILE.toml")]
        name: String,
        /// Show the whole configuration that it makes for these data in place of the file: a file for
        /// --config
        #[arg(long, value_name = "SPEC")]
        data: Option<DataSpec>,
    },
    /// The JSON schema of recipes and configurations, by which editors check and complete them
    Schema,
}

/// `residua.recipes/1`
#[derive(Serialize)]
struct RecipesReport {
    schema: &'static str,
    recipes: Vec<RecipeReport>,
}

#[derive(Serialize)]
struct RecipeReport {
    name: String,
    purpose: String,
    data: String,
    /// What it must reach.
    reaches: String,
    /// Where the settings come from.
    source: String,
}

pub(crate) fn run(args: &RecipeArgs) -> Result<(), Failure> {
    match &args.action {
        Action::List { json } => list(*json),
        Action::Show { name, data: None } => output::print(&Recipe::find(name)?.text),
        Action::Show {
            name,
            data: Some(data),
        } => {
            let config = TrainConfig::for_data(data.clone());
            let recipe = Recipe::find(name)?.for_data(data);
            output::print(&recipe.apply(&config)?.to_toml()?)
        }
        Action::Schema => output::print_json(settings_schema()),
    }
}

fn list(json: bool) -> Result<(), Failure> {
    let recipes = Recipe::all()?;
    if !json {
        let rows = recipes.into_iter().map(|recipe| {
            let about = recipe.about;
            vec![recipe.name, about.purpose, about.reaches]
        });
        let columns = [
            Column::Left("recipe"),
            Column::Left("for"),
            Column::Left("must reach"),
        ];
        return output::print(&output::table_of_sentences(&columns, rows.collect()));
    }
    let recipes = recipes.into_iter().map(|recipe| RecipeReport {
        name: recipe.name,
        purpose: recipe.about.purpose,
        data: recipe.about.data,
        reaches: recipe.about.reaches,
        source: recipe.about.source,
    });
    output::print_json(&RecipesReport {
        schema: "residua.recipes/1",
        recipes: recipes.collect(),
    })
}
