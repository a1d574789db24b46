//! A drawing: shapes on a white sheet, measured in pixels from its upper left corner.

/// Shapes, painted in their order.
#[derive(Debug)]
pub(crate) struct Drawing {
    pub(super) width: u16,
    pub(super) height: u16,
    pub(super) shapes: Vec<Shape>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Point {
    pub(super) x: f32,
    pub(super) y: f32,
}

/// Red, green and blue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Colour(pub(super) u8, pub(super) u8, pub(super) u8);

impl Colour {
    pub(super) const WHITE: Self = Self(255, 255, 255);
    pub(super) const INK: Self = Self(34, 34, 34);
    pub(super) const GREY: Self = Self(110, 110, 110);
    pub(super) const GRID: Self = Self(226, 226, 226);
}

/// Which point of a text is where it is put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Shape {
    /// A closed area with an outline.
    Area {
        corners: Vec<Point>,
        fill: Colour,
        outline: Colour,
    },
    Line {
        from: Point,
        to: Point,
        width: f32,
        colour: Colour,
    },
    /// A ring.
    Ring {
        centre: Point,
        radius: f32,
        colour: Colour,
    },
    /// A line of text; `at` is on its baseline.
    Text {
        at: Point,
        text: String,
        size: f32,
        anchor: Anchor,
        colour: Colour,
    },
}

impl Drawing {
    pub(super) const fn new(width: u16, height: u16) -> Self {
        Self { width, height, shapes: Vec::new() }
    }

    pub(super) fn line(&mut self, from: (f32, f32), to: (f32, f32), width: f32, colour: Colour) {
        self.shapes.push(Shape::Line { from: from.into(), to: to.into(), width, colour });
    }

    /// From the upper left to the lower right corner.
    pub(super) fn rectangle(&mut self, (left, top): (f32, f32), (right, bottom): (f32, f32), fill: Colour) {
        let corners = [(left, top), (right, top), (right, bottom), (left, bottom)];
        self.area(&corners, fill);
    }

    /// A square that stands on a corner.
    pub(super) fn diamond(&mut self, (x, y): (f32, f32), radius: f32, fill: Colour) {
        self.area(&[(x, y - radius), (x + radius, y), (x, y + radius), (x - radius, y)], fill);
    }

    fn area(&mut self, corners: &[(f32, f32)], fill: Colour) {
        let corners = corners.iter().map(|corner| (*corner).into()).collect();
        self.shapes.push(Shape::Area { corners, fill, outline: Colour::INK });
    }

    pub(super) fn ring(&mut self, centre: (f32, f32), radius: f32, colour: Colour) {
        self.shapes.push(Shape::Ring { centre: centre.into(), radius, colour });
    }

    pub(super) fn text(&mut self, at: (f32, f32), anchor: Anchor, size: f32, colour: Colour, text: impl Into<String>) {
        self.shapes.push(Shape::Text { at: at.into(), text: text.into(), size, anchor, colour });
    }
}

impl From<(f32, f32)> for Point {
    fn from((x, y): (f32, f32)) -> Self {
        Self { x, y }
    }
}
