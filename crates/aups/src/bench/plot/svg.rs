//! A drawing as SVG 1.1.

use super::drawing::{Anchor, Colour, Drawing, Point, Shape};
use std::fmt;

impl Drawing {
    /// The text of an SVG file.
    pub(crate) fn svg(&self) -> String {
        let Self { width, height, shapes } = self;
        let shapes: Vec<_> = shapes.iter().map(Shape::to_string).collect();
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
             <svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" \
             font-family=\"DejaVu Sans, Verdana, sans-serif\">\n\
             <rect width=\"{width}\" height=\"{height}\" fill=\"{white}\"/>\n{}\n</svg>\n",
            shapes.join("\n"),
            white = Colour::WHITE,
        )
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Area { corners, fill, outline } => {
                let points: Vec<_> = corners.iter().map(Point::to_string).collect();
                let points = points.join(" ");
                write!(f, r#"<polygon points="{points}" fill="{fill}" stroke="{outline}"/>"#)
            }
            Self::Line { from: Point { x, y }, to, width, colour } => write!(
                f,
                r#"<line x1="{x}" y1="{y}" x2="{}" y2="{}" stroke="{colour}" stroke-width="{width}"/>"#,
                to.x, to.y
            ),
            Self::Ring { centre: Point { x, y }, radius, colour } => {
                write!(f, r#"<circle cx="{x}" cy="{y}" r="{radius}" fill="none" stroke="{colour}"/>"#)
            }
            Self::Text { at: Point { x, y }, text, size, anchor, colour } => {
                let text = escaped(text);
                write!(
                    f,
                    r#"<text x="{x}" y="{y}" font-size="{size}" text-anchor="{anchor}" fill="{colour}">{text}</text>"#
                )
            }
        }
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{},{}", self.x, self.y)
    }
}

impl fmt::Display for Colour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(red, green, blue) = self;
        write!(f, "#{red:02x}{green:02x}{blue:02x}")
    }
}

impl fmt::Display for Anchor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Start => "start",
            Self::Middle => "middle",
            Self::End => "end",
        })
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
