//! What images are labelled with: one class, or any number of classes.

use std::sync::Arc;

use residua_core::task::Task;

/// Any number of classes, each once, in ascending order. Cloning is cheap.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct ClassSet(Arc<[u32]>);

impl ClassSet {
    /// The classes, in ascending order.
    pub fn classes(&self) -> &[u32] {
        &self.0
    }
}

impl FromIterator<u32> for ClassSet {
    fn from_iter<I: IntoIterator<Item = u32>>(classes: I) -> Self {
        let mut classes: Vec<u32> = classes.into_iter().collect();
        classes.sort_unstable();
        classes.dedup();
        Self(classes.into())
    }
}

/// What one image is labelled with. Classes are indices.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Label {
    /// It is of this class.
    Class(u32),
    /// It shows these classes and no others.
    Classes(ClassSet),
}

impl Label {
    /// The classes that it shows: one, or any number.
    pub fn classes(&self) -> &[u32] {
        match self {
            Self::Class(class) => std::slice::from_ref(class),
            Self::Classes(set) => set.classes(),
        }
    }

    /// The same as a set.
    fn set(&self) -> ClassSet {
        match self {
            Self::Class(class) => ClassSet::from_iter([*class]),
            Self::Classes(set) => set.clone(),
        }
    }

    /// The class that it is of, where images have one each.
    pub fn class(&self) -> Option<u32> {
        match self {
            Self::Class(class) => Some(*class),
            Self::Classes(_) => None,
        }
    }

    /// What is asked about images that are labelled like this.
    pub fn task(&self) -> Task {
        match self {
            Self::Class(_) => Task::SingleLabel,
            Self::Classes(_) => Task::MultiLabel,
        }
    }

    /// The same label where class `c` is called `numbers[c]`.
    pub(crate) fn renumbered(&self, numbers: &[u32]) -> Self {
        let new = |class: &u32| numbers[*class as usize];
        match self {
            Self::Class(class) => Self::Class(new(class)),
            Self::Classes(set) => Self::Classes(set.classes().iter().map(new).collect()),
        }
    }

    /// The names of its classes, joined as a spreadsheet has them.
    pub fn named(&self, classes: &[String]) -> String {
        let name = |class: &u32| classes.get(*class as usize).map_or("?", String::as_str);
        match self.classes() {
            [] => NO_CLASS.to_owned(),
            several => several.iter().map(name).collect::<Vec<_>>().join(SEPARATOR),
        }
    }
}

/// What stands between the classes of an image.
pub(crate) const SEPARATOR: &str = "|";

/// What stands for none of the classes.
pub(crate) const NO_CLASS: &str = "No Finding";

/// Whether a text says that an image shows none of the classes.
pub(crate) fn means_no_class(text: &str) -> bool {
    text.eq_ignore_ascii_case(NO_CLASS)
}

/// Whether a class of this name would be taken for something else where the classes of an image are
/// listed.
pub(crate) fn is_ambiguous(class: &str) -> bool {
    class.contains(SEPARATOR) || means_no_class(class)
}

impl From<u32> for Label {
    fn from(class: u32) -> Self {
        Self::Class(class)
    }
}

/// What the images of a batch are labelled with, in their order. Classes are indices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Labels {
    /// One class for each image, `[N]`.
    Classes(Vec<u32>),
    /// Any number of classes for each image, `[N]`.
    Sets(Vec<ClassSet>),
}

impl Labels {
    /// The labels of some images. One class of an image among others that have any number of them is
    /// a set of one.
    pub fn of<'a>(labels: impl IntoIterator<Item = &'a Label> + Clone) -> Self {
        let classes: Option<Vec<u32>> = labels.clone().into_iter().map(Label::class).collect();
        match classes {
            Some(classes) => Self::Classes(classes),
            None => Self::Sets(labels.into_iter().map(Label::set).collect()),
        }
    }

    /// What is asked about the images.
    pub fn task(&self) -> Task {
        match self {
            Self::Classes(_) => Task::SingleLabel,
            Self::Sets(_) => Task::MultiLabel,
        }
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        match self {
            Self::Classes(classes) => classes.len(),
            Self::Sets(sets) => sets.len(),
        }
    }

    /// Whether there are no images.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The classes that an image shows; none for an image that is not there.
    pub fn shown(&self, image: usize) -> &[u32] {
        match self {
            Self::Classes(classes) => classes.get(image).map_or(&[], std::slice::from_ref),
            Self::Sets(sets) => sets.get(image).map_or(&[], ClassSet::classes),
        }
    }

    /// The labels of `count` images from image `first` on; fewer where the batch ends before.
    pub fn part(&self, first: usize, count: usize) -> Self {
        match self {
            Self::Classes(classes) => Self::Classes(part(classes, first, count)),
            Self::Sets(sets) => Self::Sets(part(sets, first, count)),
        }
    }

    /// The labels from the last image to the first.
    pub(crate) fn reversed(&self) -> Self {
        match self {
            Self::Classes(classes) => Self::Classes(classes.iter().rev().copied().collect()),
            Self::Sets(sets) => Self::Sets(sets.iter().rev().cloned().collect()),
        }
    }

    /// Whether each image shows each of `classes` classes, `[N, classes]` row by row.
    pub fn truth(&self, classes: usize) -> Vec<bool> {
        let mut rows = vec![false; self.len() * classes];
        for (image, row) in rows.chunks_mut(classes.max(1)).enumerate() {
            for &class in self.shown(image) {
                if let Some(is_shown) = row.get_mut(class as usize) {
                    *is_shown = true;
                }
            }
        }
        rows
    }
}

fn part<T: Clone>(all: &[T], first: usize, count: usize) -> Vec<T> {
    all.iter().skip(first).take(count).cloned().collect()
}

impl From<Vec<u32>> for Labels {
    fn from(classes: Vec<u32>) -> Self {
        Self::Classes(classes)
    }
}

impl FromIterator<u32> for Labels {
    fn from_iter<I: IntoIterator<Item = u32>>(classes: I) -> Self {
        Self::Classes(classes.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(classes: &[u32]) -> ClassSet {
        classes.iter().copied().collect()
    }

    #[test]
    fn sets_are_sorted_and_without_repetition() {
        assert_eq!(set(&[3, 1, 3]).classes(), [1, 3]);
        assert_eq!(set(&[3, 1]), set(&[1, 3]));
        let label = Label::Classes(set(&[0, 2]));
        // Numbers that change the order.
        assert_eq!(label.renumbered(&[5, 0, 1]).classes(), [1, 5]);
        let names = ["cat", "dog", "eel"].map(str::to_owned);
        assert_eq!(label.named(&names), "cat|eel");
        assert_eq!(Label::Classes(set(&[])).named(&names), "No Finding");
        assert_eq!(Label::Class(1).named(&names), "dog");
    }

    #[test]
    fn a_batch_has_labels_of_one_kind() {
        let single = [Label::Class(2), Label::Class(0)];
        assert_eq!(Labels::of(&single), Labels::Classes(vec![2, 0]));
        let several = [Label::Classes(set(&[])), Label::Classes(set(&[1, 2]))];
        let labels = Labels::of(&several);
        assert_eq!(labels, Labels::Sets(vec![set(&[]), set(&[1, 2])]));
        assert_eq!((labels.shown(0), labels.shown(1)), (&[][..], &[1, 2][..]));
        assert_eq!(labels.truth(3), [false, false, false, false, true, true]);
        assert_eq!(labels.part(1, 5), Labels::Sets(vec![set(&[1, 2])]));
        assert_eq!(labels.reversed().shown(0), [1, 2]);
        assert_eq!(labels.task(), Task::MultiLabel);
        let mixed = [Label::Class(1), Label::Classes(set(&[]))];
        assert_eq!(Labels::of(&mixed), Labels::Sets(vec![set(&[1]), set(&[])]));
        let classes = Labels::Classes(vec![2, 0]);
        assert_eq!(classes.truth(3), [false, false, true, true, false, false]);
        assert!(Labels::of(&[]).is_empty());
    }
}
