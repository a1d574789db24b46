//! A drawing as PNG.

use super::drawing::{Anchor, Colour, Drawing, Point, Shape};
use anyhow::Context as _;
use tiny_skia::{Color, FillRule, Paint, Path, PathBuilder, Pixmap, Stroke, Transform};
use ttf_parser::{Face, GlyphId, OutlineBuilder};

/// What texts are set in; see `data/README.md` of this crate for where it comes from.
const FONT: &[u8] = include_bytes!("../../../data/DejaVuSans-plot.ttf");
/// Pixels of the file for each of the drawing, so that it is sharp on any screen.
const SCALE: u16 = 2;

impl Drawing {
    /// The bytes of a PNG file.
    pub(crate) fn png(&self) -> anyhow::Result<Vec<u8>> {
        let [width, height] = [self.width, self.height].map(|side| u32::from(side) * u32::from(SCALE));
        let pixels = Pixmap::new(width, height).context("a drawing without area")?;
        let mut canvas = Canvas { pixels, face: Face::parse(FONT, 0).context("the built-in font")? };
        canvas.pixels.fill(Color::WHITE);
        for shape in &self.shapes {
            canvas.draw(shape);
        }
        canvas.pixels.encode_png().context("cannot encode a PNG")
    }
}

struct Canvas {
    pixels: Pixmap,
    face: Face<'static>,
}

impl Canvas {
    fn draw(&mut self, shape: &Shape) {
        match shape {
            Shape::Area { corners, fill, outline } => {
                self.fill(polygon(corners), *fill);
                self.stroke(polygon(corners), 1.0, *outline);
            }
            Shape::Line { from, to, width, colour } => self.stroke(line(*from, *to), *width, *colour),
            Shape::Ring { centre, radius, colour } => {
                self.stroke(PathBuilder::from_circle(centre.x, centre.y, *radius), 1.0, *colour);
            }
            Shape::Text { at, text, size, anchor, colour } => self.text(*at, text, *size, *anchor, *colour),
        }
    }

    fn text(&mut self, at: Point, text: &str, size: f32, anchor: Anchor, colour: Colour) {
        let scale = size / f32::from(self.face.units_per_em());
        let glyphs: Vec<_> = text.chars().map(|letter| self.face.glyph_index(letter).unwrap_or(GlyphId(0))).collect();
        let advance = |glyph: GlyphId| f32::from(self.face.glyph_hor_advance(glyph).unwrap_or_default()) * scale;
        let width: f32 = glyphs.iter().map(|glyph| advance(*glyph)).sum();
        let mut pen = Pen { path: PathBuilder::new(), origin: at, scale };
        pen.origin.x -= match anchor {
            Anchor::Start => 0.0,
            Anchor::Middle => width / 2.0,
            Anchor::End => width,
        };
        for glyph in glyphs {
            // A space has no outline.
            let _ = self.face.outline_glyph(glyph, &mut pen);
            pen.origin.x += advance(glyph);
        }
        self.fill(pen.path.finish(), colour);
    }

    fn fill(&mut self, path: Option<Path>, colour: Colour) {
        if let Some(path) = path {
            self.pixels.fill_path(&path, &paint(colour), FillRule::Winding, scaled(), None);
        }
    }

    fn stroke(&mut self, path: Option<Path>, width: f32, colour: Colour) {
        if let Some(path) = path {
            let stroke = Stroke { width, ..Stroke::default() };
            self.pixels.stroke_path(&path, &paint(colour), &stroke, scaled(), None);
        }
    }
}

fn scaled() -> Transform {
    Transform::from_scale(SCALE.into(), SCALE.into())
}

fn paint(Colour(red, green, blue): Colour) -> Paint<'static> {
    let mut paint = Paint { anti_alias: true, ..Paint::default() };
    paint.set_color_rgba8(red, green, blue, u8::MAX);
    paint
}

fn polygon(corners: &[Point]) -> Option<Path> {
    let mut path = PathBuilder::new();
    let (first, rest) = corners.split_first()?;
    path.move_to(first.x, first.y);
    for corner in rest {
        path.line_to(corner.x, corner.y);
    }
    path.close();
    path.finish()
}

fn line(from: Point, to: Point) -> Option<Path> {
    let mut path = PathBuilder::new();
    path.move_to(from.x, from.y);
    path.line_to(to.x, to.y);
    path.finish()
}

/// Writes glyphs: a font measures upwards, a drawing downwards.
struct Pen {
    path: PathBuilder,
    origin: Point,
    scale: f32,
}

impl Pen {
    fn at(&self, x: f32, y: f32) -> (f32, f32) {
        (self.origin.x + x * self.scale, self.origin.y - y * self.scale)
    }
}

impl OutlineBuilder for Pen {
    fn move_to(&mut self, x: f32, y: f32) {
        let (x, y) = self.at(x, y);
        self.path.move_to(x, y);
    }

    fn line_to(&mut self, x: f32, y: f32) {
        let (x, y) = self.at(x, y);
        self.path.line_to(x, y);
    }

    fn quad_to(&mut self, x1: f32, y1: f32, x: f32, y: f32) {
        let ((x1, y1), (x, y)) = (self.at(x1, y1), self.at(x, y));
        self.path.quad_to(x1, y1, x, y);
    }

    fn curve_to(&mut self, x1: f32, y1: f32, x2: f32, y2: f32, x: f32, y: f32) {
        let ((x1, y1), (x2, y2), (x, y)) = (self.at(x1, y1), self.at(x2, y2), self.at(x, y));
        self.path.cubic_to(x1, y1, x2, y2, x, y);
    }

    fn close(&mut self) {
        self.path.close();
    }
}
