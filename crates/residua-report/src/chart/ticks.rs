//! Where axes are marked.

/// The values 1, 2 and 5 times a power of ten, of which steps are made.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Step {
    mantissa: f64,
    exponent: i32,
}

impl Step {
    /// The smallest step that divides `span` into at most `most` parts; `None` unless the span is a
    /// positive number and `most` at least 1.
    pub(super) fn of(span: f64, most: usize) -> Option<Self> {
        if !(span.is_finite() && span > 0.0) || most == 0 {
            return None;
        }
        let least = span / most as f64;
        // The logarithm is rounded, so a start one decade below is safe.
        let start = least.log10().floor() as i32 - 1;
        (start..=start + 3)
            .flat_map(|exponent| [1.0, 2.0, 5.0].map(|mantissa| Self { mantissa, exponent }))
            .find(|step| step.size() >= least * (1.0 - 1e-9))
    }

    /// The same, but at least 1.
    pub(super) fn whole(span: f64, most: usize) -> Option<Self> {
        let one = Self {
            mantissa: 1.0,
            exponent: 0,
        };
        let step = Self::of(span, most)?;
        Some(if step.exponent < 0 { one } else { step })
    }

    /// How large it is.
    pub(super) fn size(self) -> f64 {
        self.multiple(1.0)
    }

    /// Decimals that write its multiples exactly.
    pub(super) fn decimals(self) -> usize {
        usize::try_from(-self.exponent).unwrap_or(0)
    }

    /// A multiple, rounded once where the step is a fraction.
    fn multiple(self, factor: f64) -> f64 {
        let count = factor * self.mantissa;
        if self.exponent < 0 {
            count / 10_f64.powi(-self.exponent)
        } else {
            count * 10_f64.powi(self.exponent)
        }
    }

    /// The largest multiple that is at most `value`.
    pub(super) fn below(self, value: f64) -> f64 {
        self.multiple((value / self.size() + 1e-9).floor())
    }

    /// The smallest multiple that is at least `value`.
    pub(super) fn above(self, value: f64) -> f64 {
        self.multiple((value / self.size() - 1e-9).ceil())
    }

    /// All multiples from `low` to `high`.
    pub(super) fn multiples(self, low: f64, high: f64) -> Vec<f64> {
        /// Steps are chosen for far fewer; numbers too close for their size stop here.
        const MOST: usize = 100;
        let first = (low / self.size() - 1e-9).ceil();
        (0..MOST)
            .map(|index| self.multiple(first + index as f64))
            .take_while(|&tick| tick <= high + self.size() * 1e-9)
            .collect()
    }
}

/// The ticks of a logarithmic axis between two positive numbers: powers of ten, with 2 and 5 times
/// them where there is room. At most `most`.
pub(super) fn logarithmic(low: f64, high: f64, most: usize) -> Vec<f64> {
    let is_usable = low.is_finite() && high.is_finite() && low > 0.0 && high > low && most > 0;
    if !is_usable {
        return Vec::new();
    }
    let first = low.log10().floor() as i32;
    let last = high.log10().ceil() as i32;
    let within = |mantissas: &[f64], stride: usize| -> Vec<f64> {
        (first..=last)
            .step_by(stride)
            .flat_map(|exponent| {
                mantissas
                    .iter()
                    .map(move |mantissa| mantissa * power(exponent))
            })
            .filter(|tick| (low * (1.0 - 1e-9)..=high * (1.0 + 1e-9)).contains(tick))
            .collect()
    };
    let all = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0];
    for mantissas in [&all[..], &[1.0, 2.0, 5.0], &[1.0, 3.0], &[1.0]] {
        let ticks = within(mantissas, 1);
        let is_narrow = mantissas.len() < all.len() || high / low < 20.0;
        if is_narrow && (2..=most).contains(&ticks.len()) {
            return ticks;
        }
    }
    // Either less than a step of the finest marks, or very many decades.
    if high / low < 10.0 {
        return Step::of(high - low, most.saturating_sub(1).max(1))
            .map(|step| step.multiples(low, high))
            .unwrap_or_default();
    }
    let decades = usize::try_from(last - first).unwrap_or(0) + 1;
    within(&[1.0], decades.div_ceil(most).max(1))
}

fn power(exponent: i32) -> f64 {
    if exponent < 0 {
        1.0 / 10_f64.powi(-exponent)
    } else {
        10_f64.powi(exponent)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn steps_are_what_people_would_choose() {
        let ticks = |low, high, most| Step::of(high - low, most).unwrap().multiples(low, high);
        assert_eq!(ticks(0.0, 1.0, 5), [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]);
        assert_eq!(ticks(1.0, 10.0, 5), [2.0, 4.0, 6.0, 8.0, 10.0]);
        assert_eq!(ticks(0.28, 0.32, 4), [0.28, 0.29, 0.3, 0.31, 0.32]);
        assert_eq!(Step::whole(1.0, 5).unwrap().size(), 1.0);
        assert_eq!(Step::of(0.0, 5), None);
        assert_eq!(Step::of(f64::NAN, 5), None);
    }

    #[test]
    fn logarithmic_axes_are_marked_at_powers() {
        assert_eq!(logarithmic(0.001, 10.0, 6), [0.001, 0.01, 0.1, 1.0, 10.0]);
        let expected = [2e5, 5e5, 1e6, 2e6];
        assert_eq!(logarithmic(1.9e5, 2.1e6, 6), expected);
        assert_eq!(logarithmic(11.0, 12.0, 4), [11.0, 11.5, 12.0]);
        assert!(logarithmic(1e-300, 1e300, 6).len() <= 6);
        assert!(logarithmic(0.0, 1.0, 6).is_empty());
    }

    proptest! {
        #[test]
        fn linear_ticks_are_within_the_range_and_evenly_spaced(
            low in -1e6_f64..1e6, span in 1e-3_f64..1e7, most in 1_usize..12
        ) {
            let high = low + span;
            let step = Step::of(span, most).unwrap();
            let ticks = step.multiples(low, high);
            let tolerance = 1e-6 * step.size();
            prop_assert!(ticks.len() <= most + 1);
            prop_assert!(ticks.iter().all(|&t| t >= low - tolerance && t <= high + tolerance));
            let even = ticks.windows(2).all(|pair| {
                (pair[1] - pair[0] - step.size()).abs() <= tolerance + 1e-9 * high.abs()
            });
            prop_assert!(even);
            let mantissa = step.size() / 10_f64.powf(step.size().log10().floor());
            let is_nice = [1.0, 2.0, 5.0, 10.0].iter().any(|nice| (mantissa - nice).abs() < 1e-6);
            prop_assert!(is_nice, "{}", step.size());
            prop_assert!(step.below(low) <= low + tolerance);
            prop_assert!(step.above(high) >= high - tolerance);
        }

        #[test]
        fn logarithmic_ticks_are_within_the_range_and_rise(
            exponent in -12.0_f64..12.0, decades in 0.01_f64..20.0, most in 1_usize..10
        ) {
            let low = 10_f64.powf(exponent);
            let high = low * 10_f64.powf(decades);
            let ticks = logarithmic(low, high, most);
            prop_assert!(ticks.len() <= most + 1, "{ticks:?}");
            prop_assert!(ticks.is_sorted());
            prop_assert!(ticks.iter().all(|t| (low * 0.999_999..=high * 1.000_001).contains(t)));
        }
    }
}
