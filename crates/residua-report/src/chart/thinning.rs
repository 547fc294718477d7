//! Fewer points that draw the same line.

use super::Point;

/// No line on a chart can show more points than it is wide in pixels.
pub(super) const MOST_POINTS: usize = 480;

/// At most about [`MOST_POINTS`] of the points, in their order: of each stretch its first, lowest,
/// highest and last one, so that peaks stay, and a gap where the stretch has one.
pub(super) fn thinned(points: &[Point]) -> Vec<Point> {
    if points.len() <= MOST_POINTS {
        return points.to_vec();
    }
    // Five points of a stretch may stay: four and a gap.
    let length = points.len().div_ceil(MOST_POINTS / 5);
    points.chunks(length).flat_map(stretch).collect()
}

fn stretch(points: &[Point]) -> Vec<Point> {
    let indices = || (0..points.len()).filter(|&index| points[index].y.is_finite());
    let by_height = |a: &usize, b: &usize| points[*a].y.total_cmp(&points[*b].y);
    let gap = points.iter().position(|point| !point.y.is_finite());
    let mut kept: Vec<usize> = [
        indices().next(),
        indices().min_by(by_height),
        indices().max_by(by_height),
        indices().next_back(),
        gap,
    ]
    .into_iter()
    .flatten()
    .collect();
    kept.sort_unstable();
    kept.dedup();
    kept.into_iter().map(|index| points[index]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_lines_stay_as_they_are() {
        let points: Vec<Point> = (0..MOST_POINTS)
            .map(|x| Point::new(x as f64, 1.0))
            .collect();
        assert_eq!(thinned(&points), points);
    }

    #[test]
    fn peaks_gaps_and_ends_stay() {
        let mut points: Vec<Point> = (0..100_000)
            .map(|x| Point::new(f64::from(x), (f64::from(x) / 900.0).sin()))
            .collect();
        points[51_234].y = 7.0;
        points[70_000].y = f64::NAN;
        let thin = thinned(&points);
        assert!(thin.len() <= MOST_POINTS + 5, "{}", thin.len());
        assert_eq!(thin.first(), points.first());
        assert_eq!(thin.last(), points.last());
        assert!(thin.contains(&points[51_234]));
        assert!(thin.iter().any(|point| point.y.is_nan()));
        assert!(thin.is_sorted_by_key(|point| point.x));
    }
}
