//! Names that stand for a network by rule.

use super::{Entry, cifar};
use crate::families::Paths;

/// Far beyond what anybody trains, and small enough to build in an instant.
const DEEPEST: usize = 10_000;
/// The same for multiples of a width; some billions of parameters.
const WIDEST: usize = 100;
/// The same for networks whose size grows with the square of the depth.
const DEEPEST_DENSE: usize = 1_000;

/// A beginning of names, and what it makes of the rest of one.
type Rule = (&'static str, fn(&str) -> Option<Entry>);

/// A beginning comes after those that it begins.
const RULES: [Rule; 9] = [
    ("preact_resnet", |rest| {
        cifar::pre_activation(number(rest, DEEPEST)?)
    }),
    ("resnext29_", |rest| {
        let (count, width) = pair(rest.strip_suffix('d')?, "x", WIDEST, WIDEST)?;
        (count > 0 && width > 0).then(|| cifar::resnext29(Paths { count, width }))
    }),
    ("wrn", |rest| {
        let (depth, widening) = pair(rest, "_", DEEPEST, WIDEST)?;
        cifar::wide_resnet(depth, widening)
    }),
    ("se_resnet", |rest| {
        cifar::squeeze_excitation(number(rest, DEEPEST)?)
    }),
    ("cbam_resnet", |rest| cifar::cbam(number(rest, DEEPEST)?)),
    ("densenet_bc", |rest| {
        let (depth, growth) = pair(rest, "_k", DEEPEST_DENSE, WIDEST)?;
        cifar::densenet_bc(depth, growth)
    }),
    ("densenet", |rest| {
        let (depth, growth) = pair(rest, "_k", DEEPEST_DENSE, WIDEST)?;
        cifar::densenet(depth, growth)
    }),
    ("resnet", |rest| cifar::resnet(number(rest, DEEPEST)?)),
    ("plain", |rest| cifar::plain(number(rest, DEEPEST)?)),
];

/// The network that a rule makes of a name.
pub(in crate::catalog) fn by_rule(name: &str) -> Option<Entry> {
    let matching = RULES.into_iter().find_map(|(beginning, make)| {
        let rest = name.strip_prefix(beginning)?;
        Some(make(rest))
    });
    // Refuses spellings such as `resnet020`, so that a network has one name.
    matching?.filter(|entry| entry.name == name)
}

fn number(digits: &str, most: usize) -> Option<usize> {
    digits.parse().ok().filter(|number| *number <= most)
}

fn pair(text: &str, separator: &str, most: usize, most_second: usize) -> Option<(usize, usize)> {
    let (first, second) = text.split_once(separator)?;
    Some((number(first, most)?, number(second, most_second)?))
}
