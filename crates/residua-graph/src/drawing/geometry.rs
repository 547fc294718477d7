//! Places and extents, in whole pixels.

/// A place in a drawing or in a card.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Point {
    pub(super) x: i32,
    pub(super) y: i32,
}

impl Point {
    /// The place with these coordinates.
    pub(super) fn new(x: i32, y: i32) -> Self {
        Self { x, y }
    }

    /// The place this far to the right and below.
    pub(super) fn moved(self, right: i32, down: i32) -> Self {
        Self::new(self.x + right, self.y + down)
    }
}

/// An extent along one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) top: i32,
    pub(super) height: i32,
}

impl Span {
    /// The lower end.
    pub(super) fn bottom(self) -> i32 {
        self.top + self.height
    }
}

/// An upright rectangle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rectangle {
    pub(super) x: i32,
    pub(super) y: i32,
    pub(super) width: i32,
    pub(super) height: i32,
}

impl Rectangle {
    /// The rectangle of this width around an upright line.
    pub(super) fn around(axis: i32, width: i32, top: i32, height: i32) -> Self {
        Self {
            x: axis - width / 2,
            y: top,
            width,
            height,
        }
    }

    /// The middle.
    pub(super) fn middle(self) -> Point {
        Point::new(self.x + self.width / 2, self.y + self.height / 2)
    }
}

/// Gives intervals lanes, so that no two in one lane touch. The shortest come first.
pub(super) fn assign_lanes(intervals: &[Span]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..intervals.len()).collect();
    order.sort_by_key(|&index| (intervals[index].height, intervals[index].top));
    let mut lanes: Vec<Vec<Span>> = Vec::new();
    let mut assigned = vec![0; intervals.len()];
    for index in order {
        let interval = intervals[index];
        let touches =
            |other: &Span| other.top <= interval.bottom() && interval.top <= other.bottom();
        let free = lanes.iter().position(|lane| !lane.iter().any(touches));
        let lane = free.unwrap_or_else(|| {
            lanes.push(Vec::new());
            lanes.len() - 1
        });
        lanes[lane].push(interval);
        assigned[index] = lane;
    }
    assigned
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn touching_intervals_get_lanes_of_their_own() {
        let span = |top, height| Span { top, height };
        let lanes = assign_lanes(&[span(0, 10), span(2, 3), span(12, 4), span(6, 2)]);
        assert_eq!(lanes, [1, 0, 0, 0]);
        assert!(assign_lanes(&[]).is_empty());
    }
}
