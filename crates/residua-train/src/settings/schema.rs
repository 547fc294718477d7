//! The JSON schema of settings, and a view of it for those who walk along it.

use std::sync::LazyLock;

use schemars::JsonSchema;
use serde_json::{Map, Value, json};

use crate::config::TrainConfig;
use crate::recipe::RecipeAbout;

static CONFIGURATION: LazyLock<Value> = LazyLock::new(schema_of::<TrainConfig>);
static FILES: LazyLock<Value> = LazyLock::new(files);

/// The JSON schema (draft 2020-12) of configuration files and recipes, for editors.
///
/// A file that has the key `schema` is a configuration, which has all settings; others are recipes.
pub fn settings_schema() -> &'static Value {
    &FILES
}

/// What a configuration must look like.
pub(crate) fn configuration_schema() -> Schema<'static> {
    Schema::new(&CONFIGURATION)
}

/// What a recipe must look like.
pub(crate) fn recipe_schema() -> Schema<'static> {
    Schema::new(&FILES)
}

fn files() -> Value {
    let mut schema = CONFIGURATION.clone();
    let mut about = schema_of::<RecipeAbout>();
    if let (Value::Object(schema), Value::Object(about)) = (&mut schema, &mut about) {
        about.retain(|key, _| key != "$schema");
        let required = schema.remove("required");
        if let Some(Value::Object(settings)) = schema.get_mut("properties") {
            settings.insert("about".to_owned(), Value::Object(about.clone()));
        }
        schema.insert("title".to_owned(), "Settings of Residua".into());
        schema.insert("if".to_owned(), json!({ "required": ["schema"] }));
        let complete = json!({ "required": required, "properties": { "about": false } });
        schema.insert("then".to_owned(), complete);
    }
    schema
}

/// What values of a type must look like.
pub(crate) fn schema_of<T: JsonSchema>() -> Value {
    let mut schema = schemars::schema_for!(T).to_value();
    tidy(&mut schema);
    schema
}

/// Takes out what TOML does not have (null), and Rust's links from the descriptions.
fn tidy(schema: &mut Value) {
    match schema {
        Value::Object(keywords) => {
            without_null(keywords);
            for (keyword, value) in keywords.iter_mut() {
                match value {
                    Value::String(text) if keyword == "description" => {
                        *text = text.replace("[`", "`").replace("`]", "`");
                    }
                    value => tidy(value),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(tidy),
        _ => {}
    }
}

fn without_null(schema: &mut Map<String, Value>) {
    if schema.get("default") == Some(&Value::Null) {
        schema.remove("default");
    }
    if let Some(Value::Array(types)) = schema.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = &types[..] {
            let only = only.clone();
            schema.insert("type".to_owned(), only);
        }
    }
    let Some(Value::Array(alternatives)) = schema.get_mut("anyOf") else {
        return;
    };
    alternatives.retain(|alternative| alternative != &json!({ "type": "null" }));
    if let [Value::Object(only)] = &alternatives[..] {
        let only = only.clone();
        schema.remove("anyOf");
        for (keyword, value) in only {
            schema.entry(keyword).or_insert(value);
        }
    }
}

/// A part of a schema.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Schema<'a> {
    root: &'a Value,
    node: &'a Value,
}

/// What a value must look like.
#[derive(Debug)]
pub(crate) enum Shape<'a> {
    /// A table with these keys.
    Table(Fields<'a>),
    /// A table with these keys for each value of one of them, the tag.
    Tagged {
        /// That key.
        tag: &'a str,
        /// Its values, with their tables.
        kinds: Vec<(&'a str, Fields<'a>)>,
    },
    /// A table with any keys.
    Map(Schema<'a>),
    /// One of some words.
    Words(Vec<&'a str>),
    /// One of some words, or a table with one of some others as its only key.
    WordOrTable {
        /// The words that stand for themselves.
        words: Vec<&'a str>,
        /// Those that have something to them.
        tables: Vec<(&'a str, Schema<'a>)>,
    },
    /// A list of alike items.
    List {
        /// What each of them is.
        items: Schema<'a>,
        /// How many there must be, if that is fixed.
        length: Option<u64>,
    },
    /// A whole number.
    Whole {
        /// The least.
        least: Option<i64>,
    },
    /// A number.
    Number,
    /// A text.
    Text,
    /// True or false.
    Flag,
    /// Something that only its type can judge.
    Other,
}

/// The keys of a table.
#[derive(Debug, Clone)]
pub(crate) struct Fields<'a> {
    /// All of them.
    pub(crate) all: Vec<(&'a str, Schema<'a>)>,
    /// Those that must be there.
    pub(crate) required: Vec<&'a str>,
    /// What they are unless said otherwise.
    pub(crate) default: Option<&'a Value>,
}

impl<'a> Fields<'a> {
    /// All keys.
    pub(crate) fn names(&self) -> Vec<&'a str> {
        self.all.iter().map(|(key, _)| *key).collect()
    }

    /// What a key must look like.
    pub(crate) fn get(&self, wanted: &str) -> Option<Schema<'a>> {
        let found = self.all.iter().find(|(key, _)| *key == wanted);
        found.map(|(_, schema)| *schema)
    }
}

impl<'a> Schema<'a> {
    /// The whole of a schema.
    pub(crate) fn new(root: &'a Value) -> Self {
        Self { root, node: root }
    }

    fn at(self, node: &'a Value) -> Self {
        Self { node, ..self }
    }

    /// The part that it refers to, or itself.
    fn target(self) -> Self {
        let reference = self.node.get("$ref").and_then(Value::as_str);
        let pointer = reference.and_then(|reference| reference.strip_prefix('#'));
        match pointer.and_then(|pointer| self.root.pointer(pointer)) {
            Some(node) => self.at(node).target(),
            None => self,
        }
    }

    /// What is there unless something is said.
    pub(crate) fn default(self) -> Option<&'a Value> {
        self.node.get("default")
    }

    /// What a key below must look like, whatever kind its table is of.
    pub(crate) fn key(self, wanted: &str) -> Option<Self> {
        match self.shape() {
            Shape::Table(fields) => fields.get(wanted),
            Shape::Tagged { kinds, .. } => {
                { kinds.iter() }.find_map(|(_, fields)| fields.get(wanted))
            }
            Shape::Map(each) => Some(each),
            Shape::WordOrTable { tables, .. } => {
                let found = tables.into_iter().find(|(name, _)| *name == wanted);
                found.map(|(_, schema)| schema)
            }
            Shape::List { items, .. } => wanted.parse::<usize>().ok().map(|_| items),
            _ => None,
        }
    }

    /// What it describes.
    pub(crate) fn shape(self) -> Shape<'a> {
        let schema = self.target();
        if let Some(alternatives) = schema.list("oneOf") {
            return schema.shape_of(alternatives);
        }
        let words = schema.words();
        if !words.is_empty() {
            return Shape::Words(words);
        }
        match schema.node.get("type").and_then(Value::as_str) {
            Some("object") => match schema.node.get("additionalProperties") {
                Some(each @ Value::Object(_)) => Shape::Map(schema.at(each)),
                _ => Shape::Table(schema.fields()),
            },
            Some("array") => match schema.node.get("items") {
                Some(items) => Shape::List {
                    items: schema.at(items),
                    length: schema.node.get("maxItems").and_then(Value::as_u64),
                },
                None => Shape::Other,
            },
            Some("integer") => Shape::Whole {
                least: schema.node.get("minimum").and_then(Value::as_i64),
            },
            Some("number") => Shape::Number,
            Some("string") => Shape::Text,
            Some("boolean") => Shape::Flag,
            _ => Shape::Other,
        }
    }

    /// The shape of an enum.
    fn shape_of(self, alternatives: &'a [Value]) -> Shape<'a> {
        let alternatives = alternatives.iter().map(|node| self.at(node).target());
        let alternatives: Vec<Self> = alternatives.collect();
        if let Some(shape) = tagged(&alternatives) {
            return shape;
        }
        let mut words = Vec::new();
        let mut tables = Vec::new();
        for alternative in alternatives {
            let here = alternative.words();
            match &alternative.fields().all[..] {
                [only] if here.is_empty() => tables.push(*only),
                [] if !here.is_empty() => words.extend(here),
                _ => return Shape::Other,
            }
        }
        match tables.is_empty() {
            true => Shape::Words(words),
            false => Shape::WordOrTable { words, tables },
        }
    }

    fn fields(self) -> Fields<'a> {
        let all = self.node.get("properties").and_then(Value::as_object);
        let all = { all.into_iter().flatten() }.map(|(key, node)| (key.as_str(), self.at(node)));
        let required = self.list("required").unwrap_or_default();
        Fields {
            all: all.collect(),
            required: required.iter().filter_map(Value::as_str).collect(),
            default: self.default(),
        }
    }

    /// The words that it allows.
    fn words(self) -> Vec<&'a str> {
        let several = self.list("enum").unwrap_or_default().iter();
        let all = several.chain(self.node.get("const"));
        all.filter_map(Value::as_str).collect()
    }

    fn list(self, keyword: &str) -> Option<&'a [Value]> {
        let values = self.node.get(keyword)?.as_array()?;
        Some(values)
    }
}

/// The shape of tables that all have a key of which each allows one word.
fn tagged<'a>(alternatives: &[Schema<'a>]) -> Option<Shape<'a>> {
    let tag = alternatives.first()?.list("required")?.first()?.as_str()?;
    let kind = |schema: &Schema<'a>| {
        let fields = schema.fields();
        let word = fields.get(tag)?.node.get("const")?.as_str()?;
        Some((word, fields))
    };
    let kinds: Option<Vec<_>> = alternatives.iter().map(kind).collect();
    kinds.map(|kinds| Shape::Tagged { tag, kinds })
}
