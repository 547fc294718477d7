//! Numbers as people read them.

pub(crate) use residua_core::text::{counted, grouped};

/// A duration as `0:07`, `12:34` or `1:02:03`; days are counted in hours.
pub(crate) fn clock(seconds: f64) -> String {
    // The conversion saturates: what is not a number becomes zero.
    let seconds = seconds.round() as u64;
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 {
        format!("{hours}:{minutes:02}:{seconds:02}")
    } else {
        format!("{minutes}:{seconds:02}")
    }
}

/// A loss or a rate in few places, whatever its size.
pub(crate) fn short(number: f64) -> String {
    let size = number.abs();
    if size == 0.0 {
        "0".to_owned()
    } else if (0.01..1000.0).contains(&size) {
        format!("{number:.3}")
    } else {
        format!("{number:.1e}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_readable() {
        assert_eq!(clock(7.4), "0:07");
        assert_eq!(clock(59.6), "1:00");
        assert_eq!(clock(3723.0), "1:02:03");
        assert_eq!(clock(f64::NAN), "0:00");
        assert_eq!(short(0.1483), "0.148");
        assert_eq!(short(1.6e-6), "1.6e-6");
        assert_eq!(short(0.0), "0");
    }
}
