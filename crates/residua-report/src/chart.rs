//! Charts, as values that are drawn when they are asked for.
//!
//! A chart is made of plain data, so it can be looked at, changed and compared before it is drawn.
//! Coordinates that are not finite are left out: they break lines, and empty charts show their axes.
//!
//! ```
//! use residua_report::chart::{Axis, Chart, LineChart, Palette, Point, Series, Unit};
//!
//! let accuracies = [0.52, 0.71, f64::NAN, 0.83];
//! let points = (1..).zip(accuracies).map(|(epoch, y)| Point::new(f64::from(epoch), y));
//! let epochs = Axis::new("epoch").written(Unit::Whole);
//! let accuracy = Axis::new("accuracy").written(Unit::Percent);
//! let chart: Chart = LineChart::new("Accuracy of a run", epochs, accuracy)
//!     .with_series(vec![Series::new("validation", points.collect())])
//!     .into();
//! assert!(chart.to_svg(Palette::Light).starts_with("<svg"));
//! ```

mod axis;
mod bars;
mod canvas;
mod cloud;
mod confusion;
mod legend;
mod lettering;
mod lines;
mod marker;
mod palette;
mod raster;
mod reliability;
mod scatter;
mod thinning;
mod ticks;

pub use axis::{Axis, Scale, Unit};
pub use bars::{Bar, BarChart};
pub use cloud::{CloudChart, CloudGroup};
pub use confusion::ConfusionMatrix;
pub use lines::{LineChart, Moment, Series};
pub use marker::{Line, Look};
pub use palette::Palette;
pub use raster::PictureError;
pub use reliability::ReliabilityDiagram;
pub use scatter::{LabelledPoint, ScatterChart};

/// Any of the charts.
#[derive(Debug, Clone, PartialEq)]
pub enum Chart {
    /// Lines over an axis.
    Lines(LineChart),
    /// Named points between two axes.
    Scatter(ScatterChart),
    /// Many points in groups.
    Cloud(CloudChart),
    /// Whether confidences mean what they say.
    Reliability(ReliabilityDiagram),
    /// Which classes are taken for which.
    Confusion(ConfusionMatrix),
    /// A figure of each of several things.
    Bars(BarChart),
}

impl Chart {
    /// The chart as an SVG document. It needs no other file; its text is in the viewer's own fonts.
    pub fn to_svg(&self, palette: Palette) -> String {
        match self {
            Self::Lines(chart) => chart.to_svg(palette),
            Self::Scatter(chart) => chart.to_svg(palette),
            Self::Cloud(chart) => chart.to_svg(palette),
            Self::Reliability(chart) => chart.to_svg(palette),
            Self::Confusion(chart) => chart.to_svg(palette),
            Self::Bars(chart) => chart.to_svg(palette),
        }
    }

    /// The chart as a PNG file of this width, in light colours on white, with the font that this
    /// crate brings along (Latin, Greek and Cyrillic), so it is the same on every machine.
    ///
    /// # Errors
    /// When the picture would be empty or larger than 20,000 pixels to a side.
    pub fn to_png(&self, width_pixels: u32) -> Result<Vec<u8>, PictureError> {
        raster::png(&self.to_svg(Palette::Light), width_pixels)
    }

    /// What the chart shows, in a few words.
    pub fn title(&self) -> &str {
        match self {
            Self::Lines(chart) => &chart.title,
            Self::Scatter(chart) => &chart.title,
            Self::Cloud(chart) => &chart.title,
            Self::Reliability(chart) => &chart.title,
            Self::Confusion(chart) => &chart.title,
            Self::Bars(chart) => &chart.title,
        }
    }

    /// The same for a narrow screen; `None` where it fits as it is.
    pub(crate) fn narrowed(&self) -> Option<Self> {
        let mut chart = self.clone();
        let size = match &mut chart {
            Self::Lines(LineChart { size, .. })
            | Self::Scatter(ScatterChart { size, .. })
            | Self::Cloud(CloudChart { size, .. }) => size,
            Self::Reliability(_) | Self::Confusion(_) | Self::Bars(_) => return None,
        };
        let is_wide = size.width > Size::COLUMN.width;
        *size = Size::PHONE;
        is_wide.then_some(chart)
    }

    /// The width below which its text becomes too small on a page.
    pub(crate) fn least_width(&self) -> u32 {
        match self {
            Self::Lines(LineChart { size, .. })
            | Self::Scatter(ScatterChart { size, .. })
            | Self::Cloud(CloudChart { size, .. }) => size.width * 3 / 4,
            Self::Reliability(_) => 260,
            Self::Confusion(chart) => chart.least_width(),
            Self::Bars(_) => 300,
        }
    }
}

macro_rules! chart_from {
    ($($variant:ident($chart:ty)),*) => {
        $(impl From<$chart> for Chart {
            fn from(chart: $chart) -> Self {
                Self::$variant(chart)
            }
        })*
    };
}

chart_from!(
    Lines(LineChart),
    Scatter(ScatterChart),
    Cloud(CloudChart),
    Reliability(ReliabilityDiagram),
    Confusion(ConfusionMatrix),
    Bars(BarChart)
);

/// How large a chart is, in CSS pixels. Text has 11 to 12 of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Width, margins included.
    pub width: u32,
    /// Height, margins included.
    pub height: u32,
}

impl Size {
    /// Two of these stand side by side on a page, and one fits on a phone.
    pub const COLUMN: Self = Self {
        width: 440,
        height: 276,
    };
    /// A phone held upright.
    pub const PHONE: Self = Self {
        width: 350,
        height: 290,
    };
    /// As wide as a page.
    pub const PAGE: Self = Self {
        width: 760,
        height: 400,
    };
}

impl Default for Size {
    fn default() -> Self {
        Self::COLUMN
    }
}

/// A point of a line.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// On the level axis.
    pub x: f64,
    /// On the upright axis.
    pub y: f64,
    /// How far the band around the line reaches up and down, such as a standard deviation.
    pub spread: Option<f64>,
}

impl Point {
    /// A point without a band.
    pub fn new(x: f64, y: f64) -> Self {
        let spread = None;
        Self { x, y, spread }
    }
}
