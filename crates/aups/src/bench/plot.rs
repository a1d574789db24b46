//! Box plots, each described once and written as SVG and as PNG.

mod axis;
mod boxes;
mod chart;
mod drawing;
mod png;
mod svg;

pub(crate) use axis::Scale;
pub(crate) use boxes::BoxStats;
pub(crate) use chart::{Chart, Column, Series};
pub(crate) use drawing::Drawing;
