//! Many-dimensional points in the plane: the two directions in which they differ most.

/// Points in the plane, and what share of their spread the plane shows.
#[derive(Debug, Clone, PartialEq)]
pub struct Projection {
    /// One pair for each point, in the order of the points; about their mean.
    pub points: Vec<[f64; 2]>,
    /// Share of the variance along each axis, 0 to 1.
    pub explained: [f64; 2],
}

/// More rounds than a well separated direction needs.
const MOST_ROUNDS: usize = 300;
/// The rounds end when a direction turns by less than this.
const PRECISION: f64 = 1e-12;

/// The first two principal components of `points`, `[N, length]` (Pearson 1901; found by the power
/// method, the second at a right angle to the first). The sign of an axis is such that its largest
/// part is positive.
///
/// Values that are not finite count as 0. Points that do not differ lie at the origin.
pub fn principal_components(points: &[f32], length: usize) -> Projection {
    let length = length.max(1);
    let centred = centred(points, length);
    let count = points.len() / length;
    let total: f64 = centred.iter().map(|number| number * number).sum();
    let mut directions: Vec<Vec<f64>> = Vec::new();
    let mut explained = [0.0; 2];
    for share in &mut explained {
        let (direction, variance) = strongest(&centred, length, &directions);
        if total > 0.0 {
            *share = (variance / total).clamp(0.0, 1.0);
        }
        directions.push(direction);
    }
    let along = |row: &[f64], direction: &[f64]| dot(row, direction);
    let points = centred.chunks_exact(length).take(count);
    Projection {
        points: points
            .map(|row| [along(row, &directions[0]), along(row, &directions[1])])
            .collect(),
        explained,
    }
}

fn centred(points: &[f32], length: usize) -> Vec<f64> {
    let finite = |number: f32| {
        if number.is_finite() {
            f64::from(number)
        } else {
            0.0
        }
    };
    let mut rows: Vec<f64> = points.iter().copied().map(finite).collect();
    let count = (rows.len() / length).max(1) as f64;
    let mut means = vec![0.0; length];
    for row in rows.chunks_exact(length) {
        for (mean, number) in means.iter_mut().zip(row) {
            *mean += number / count;
        }
    }
    for row in rows.chunks_exact_mut(length) {
        for (number, mean) in row.iter_mut().zip(&means) {
            *number -= mean;
        }
    }
    rows
}

/// The unit direction along which rows differ most among those at right angles to `others`, and the
/// sum of squares along it.
fn strongest(rows: &[f64], length: usize, others: &[Vec<f64>]) -> (Vec<f64>, f64) {
    // Any start that is not at a right angle to the answer will do; equal parts would be for points
    // whose parts cancel.
    let mut direction: Vec<f64> = (0..length).map(|i| 1.0 + (i % 7) as f64 / 10.0).collect();
    let mut squares = 0.0;
    for _ in 0..MOST_ROUNDS {
        let mut next = vec![0.0; length];
        for row in rows.chunks_exact(length) {
            let along = dot(row, &direction);
            for (sum, number) in next.iter_mut().zip(row) {
                *sum += along * number;
            }
        }
        for other in others {
            let along = dot(&next, other);
            for (sum, number) in next.iter_mut().zip(other) {
                *sum -= along * number;
            }
        }
        let size = dot(&next, &next).sqrt();
        if size <= f64::MIN_POSITIVE {
            return (vec![0.0; length], 0.0);
        }
        next.iter_mut().for_each(|number| *number /= size);
        let turned = 1.0 - dot(&next, &direction).abs();
        direction = next;
        squares = rows
            .chunks_exact(length)
            .map(|row| dot(row, &direction).powi(2))
            .sum();
        if turned.abs() < PRECISION {
            break;
        }
    }
    let largest = direction.iter().copied().fold(0.0, |largest: f64, number| {
        if number.abs() > largest.abs() {
            number
        } else {
            largest
        }
    });
    if largest < 0.0 {
        direction.iter_mut().for_each(|number| *number = -*number);
    }
    (direction, squares)
}

fn dot(one: &[f64], other: &[f64]) -> f64 {
    one.iter().zip(other).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_axes_are_those_of_the_spread() {
        // Along (3, 4)/5 by 0, ±5 and ±10; across by ±1 at the middle.
        let points = [
            -6.0, -8.0, 6.0, 8.0, -3.0, -4.0, 3.0, 4.0, -0.8, 0.6, 0.8, -0.6,
        ];
        let found = principal_components(&points, 2);
        let along: Vec<f64> = found.points.iter().map(|point| point[0]).collect();
        for (number, expected) in along.iter().zip([-10.0, 10.0, -5.0, 5.0, 0.0, 0.0]) {
            assert!((number - expected).abs() < 1e-6, "{along:?}");
        }
        assert!((found.points[4][1].abs() - 1.0).abs() < 1e-6);
        assert!((found.explained[0] - 250.0 / 252.0).abs() < 1e-9);
        assert!((found.explained.iter().sum::<f64>() - 1.0).abs() < 1e-9);
    }

    #[test]
    fn degenerate_points_stay_defined() {
        assert!(principal_components(&[], 3).points.is_empty());
        let same = principal_components(&[1.0; 12], 3);
        assert_eq!(same.points, [[0.0; 2]; 4]);
        assert_eq!(same.explained, [0.0; 2]);
        let line = principal_components(&[1.0, f32::NAN, 3.0], 1);
        assert!(
            line.points
                .iter()
                .flatten()
                .all(|number| number.is_finite())
        );
    }
}
