//! `residua recipe`: settings by name.

use clap::{Args, Subcommand};
use residua::train::Recipe;
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
        /// The recipe
        #[arg(value_name = "NAME")]
        name: String,
    },
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
        Action::Show { name } => output::print(&Recipe::find(name)?.text),
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
        return output::print(&output::table(&columns, rows.collect()));
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
