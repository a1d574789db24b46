//! A chart of box plots side by side: columns, each with a box of every series.

use super::{
    axis::{Axis, Scale},
    boxes::BoxStats,
    drawing::{Anchor, Colour, Drawing},
};

/// What is shown.
#[derive(Debug)]
pub(crate) struct Chart {
    pub(crate) title: String,
    /// What the values are, with their unit.
    pub(crate) values: String,
    pub(crate) scale: Scale,
    /// The name of each series.
    pub(crate) series: Vec<Series>,
    pub(crate) columns: Vec<Column>,
    /// What the diamonds are; none without a text.
    pub(crate) reference: Option<String>,
}

/// A series of boxes.
#[derive(Debug, Clone)]
pub(crate) struct Series(pub(crate) String);

/// The boxes that stand together.
#[derive(Debug)]
pub(crate) struct Column {
    pub(crate) name: String,
    /// One of each series, where there is one.
    pub(crate) boxes: Vec<Option<BoxStats>>,
    /// A value to compare each with.
    pub(crate) references: Vec<Option<f64>>,
}

const WIDTH: u16 = 800;
const HEIGHT: u16 = 520;
const LEFT: f32 = 70.0;
const RIGHT: f32 = 780.0;
const TOP: f32 = 96.0;
const BOTTOM: f32 = 460.0;
const BOX_WIDTH_MAX: f32 = 90.0;
const OUTLIER_RADIUS: f32 = 2.5;
/// Outliers nearer to each other than this cannot be told apart.
const OUTLIER_APART_MIN: f32 = 1.0;
const DIAMOND_RADIUS: f32 = 6.0;
const TEXT: f32 = 14.0;
const SMALL: f32 = 12.0;
/// Of small text, on the average.
const LETTER_WIDTH: f32 = 7.0;

/// Colours that people who see red and green alike can tell apart (Okabe and Ito, 2008).
const FILLS: [Colour; 4] = [Colour(86, 180, 233), Colour(230, 159, 0), Colour(0, 158, 115), Colour(204, 121, 167)];
const REFERENCE: Colour = Colour(213, 94, 0);

impl Chart {
    /// Draws it.
    pub(crate) fn draw(&self) -> Drawing {
        let mut drawing = Drawing::new(WIDTH, HEIGHT);
        let axis = self.axis();
        self.draw_head(&mut drawing);
        draw_axis(&mut drawing, axis);
        let width = (RIGHT - LEFT) / count(self.columns.len());
        for (column, place) in self.columns.iter().zip(0_u16..) {
            let left = LEFT + width * f32::from(place);
            drawing.text((left + width / 2.0, BOTTOM + 44.0), Anchor::Middle, TEXT, Colour::INK, &*column.name);
            column.draw(&mut drawing, axis, left, width);
        }
        drawing.line((LEFT, BOTTOM), (RIGHT, BOTTOM), 1.0, Colour::INK);
        drawing
    }

    fn axis(&self) -> Axis {
        let boxes = self.columns.iter().flat_map(|column| column.boxes.iter().flatten()).map(BoxStats::range);
        let references = self.columns.iter().flat_map(|column| column.references.iter().flatten());
        let (low, high) = boxes
            .chain(references.map(|value| (*value, *value)))
            .reduce(|(low, high), (least, greatest)| (low.min(least), high.max(greatest)))
            .unwrap_or((0.0, 1.0));
        Axis::around(self.scale, low, high)
    }

    fn draw_head(&self, drawing: &mut Drawing) {
        drawing.text((LEFT, 30.0), Anchor::Start, 17.0, Colour::INK, &*self.title);
        drawing.text((LEFT, TOP - 12.0), Anchor::Start, SMALL, Colour::GREY, &*self.values);
        let series = self.series.iter().map(|Series(name)| name).zip(FILLS.map(Some));
        let mut left = LEFT;
        for (name, fill) in series.chain(self.reference.iter().map(|name| (name, None))) {
            match fill {
                Some(fill) => drawing.rectangle((left, 46.0), (left + 14.0, 60.0), fill),
                None => drawing.diamond((left + 7.0, 53.0), DIAMOND_RADIUS, REFERENCE),
            }
            drawing.text((left + 22.0, 57.5), Anchor::Start, SMALL, Colour::INK, &**name);
            left += 22.0 + LETTER_WIDTH * count(name.chars().count()) + 24.0;
        }
    }
}

impl Column {
    fn draw(&self, drawing: &mut Drawing, axis: Axis, left: f32, width: f32) {
        let slot = width / (count(self.boxes.len()) + 0.5);
        let half = (slot * 0.6).min(BOX_WIDTH_MAX) / 2.0;
        for ((stats, fill), place) in self.boxes.iter().zip(FILLS).zip(0_u16..) {
            let middle = left + slot * (f32::from(place) + 0.75);
            if let Some(stats) = stats {
                draw_box(drawing, axis, stats, (middle, half), fill);
            }
            if let Some(reference) = self.references.get(usize::from(place)).copied().flatten() {
                drawing.diamond((middle, y(axis, reference)), DIAMOND_RADIUS, REFERENCE);
            }
        }
    }
}

fn draw_axis(drawing: &mut Drawing, axis: Axis) {
    for tick in axis.ticks() {
        let at = y(axis, tick);
        drawing.line((LEFT, at), (RIGHT, at), 1.0, Colour::GRID);
        drawing.text((LEFT - 8.0, at + 4.5), Anchor::End, SMALL, Colour::INK, short(tick));
    }
}

fn draw_box(drawing: &mut Drawing, axis: Axis, stats: &BoxStats, (middle, half): (f32, f32), fill: Colour) {
    let [low, q1, median, q3, high] =
        [stats.whiskers.0, stats.q1, stats.median, stats.q3, stats.whiskers.1].map(|value| y(axis, value));
    for (from, to) in [(low, q1), (q3, high)] {
        drawing.line((middle, from), (middle, to), 1.0, Colour::INK);
    }
    for end in [low, high] {
        drawing.line((middle - half / 2.0, end), (middle + half / 2.0, end), 1.0, Colour::INK);
    }
    drawing.rectangle((middle - half, q3), (middle + half, q1), fill);
    drawing.line((middle - half, median), (middle + half, median), 2.5, Colour::INK);
    let mut drawn: Option<f32> = None;
    for at in stats.outliers.iter().map(|outlier| y(axis, *outlier)) {
        if drawn.is_none_or(|other| (other - at).abs() >= OUTLIER_APART_MIN) {
            drawing.ring((middle, at), OUTLIER_RADIUS, Colour::GREY);
            drawn = Some(at);
        }
    }
    drawing.text(
        (middle, BOTTOM + 20.0),
        Anchor::Middle,
        SMALL,
        Colour::GREY,
        format!("median {}", short(stats.median)),
    );
}

/// How far below the upper edge a value lies.
fn y(axis: Axis, value: f64) -> f32 {
    #[expect(clippy::cast_possible_truncation, reason = "a place on a sheet needs no more digits")]
    let place = axis.place(value) as f32;
    BOTTOM - place * (BOTTOM - TOP)
}

/// A number with three digits that matter.
fn short(number: f64) -> String {
    let digits = match number.abs() {
        10.0..100.0 => 1,
        1.0..10.0 => 2,
        1e-9..1.0 => 3,
        _ => 0,
    };
    let text = format!("{number:.digits$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

fn count(things: usize) -> f32 {
    u16::try_from(things.max(1)).map_or(f32::MAX, f32::from)
}

#[cfg(test)]
mod tests;
