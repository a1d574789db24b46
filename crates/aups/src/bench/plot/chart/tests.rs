use super::{super::Scale, Chart, Column, HEIGHT, Series, WIDTH};
use crate::bench::plot::BoxStats;
use std::{env, fs, path::Path};

/// Latencies as they come: most near each other, some far off.
fn latencies(middle: f64) -> Option<BoxStats> {
    let usual = (0..200_u32).map(|place| middle * (0.7 + f64::from(place * 37 % 200) / 400.0));
    BoxStats::of_samples(usual.chain([1.9, 2.4, 6.0].map(|factor| middle * factor)))
}

fn chart() -> Chart {
    let column = |rate: &str, plain, paper| Column {
        name: format!("{rate} packets/s"),
        boxes: vec![latencies(plain), latencies(plain + 0.03)],
        references: vec![Some(paper), Some(paper + 2.0)],
    };
    Chart {
        title: "Latency <from POST to reader> & back".into(),
        values: "milliseconds, logarithmic".into(),
        scale: Scale::Logarithmic,
        series: vec![Series("without AUPS".into()), Series("with AUPS".into())],
        columns: vec![column("10", 0.31, 3.5), column("20", 0.28, 4.0)],
        reference: Some("the paper, on a Raspberry Pi".into()),
    }
}

#[test]
fn an_svg_has_every_part_and_escapes_what_it_quotes() {
    let svg = chart().draw().svg();
    assert!(svg.ends_with("</svg>\n"), "{svg}");
    assert!(svg.contains("Latency &lt;from POST to reader&gt; &amp; back"), "{svg}");
    // Four boxes and two patches of the legend, four diamonds and one of the legend.
    assert_eq!(svg.matches("<polygon ").count(), 11, "{svg}");
    assert_eq!(svg.matches("<circle ").count(), 12, "{svg}");
    assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
}

/// With `AUPS_PLOT_DIR` the files stay there, for people to look at.
#[test]
fn a_png_is_of_the_size_that_it_says() {
    let png = chart().draw().png().unwrap();
    let sizes: Vec<u32> = [16, 20].map(|at| u32::from_be_bytes(png[at..at + 4].try_into().unwrap())).to_vec();
    assert_eq!((&png[..8], &png[12..16]), (&b"\x89PNG\r\n\x1a\n"[..], &b"IHDR"[..]));
    assert_eq!(sizes, [u32::from(WIDTH) * 2, u32::from(HEIGHT) * 2]);
    if let Some(dir) = env::var_os("AUPS_PLOT_DIR") {
        fs::write(Path::new(&dir).join("chart.png"), png).unwrap();
        fs::write(Path::new(&dir).join("chart.svg"), chart().draw().svg()).unwrap();
    }
}

#[test]
fn what_has_no_samples_is_left_out() {
    let mut chart = chart();
    for column in &mut chart.columns {
        (column.boxes[0], column.references) = (None, vec![None, None]);
    }
    assert_eq!(chart.draw().svg().matches("<polygon ").count(), 5);
}
