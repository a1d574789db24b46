//! One year of a weather station, hour by hour: the built-in file as readings that six sensors send.

use aups_core::UnixMillis;
use jiff::{Span, civil::Date, tz::Offset};
use serde::Serialize;
use serde_json::value::RawValue;

/// The TMY3 file of the station; see `data/README.md` of this crate for where it comes from.
const FILE: &str = include_str!("../../data/greensboro-tmy3.csv");
/// The station's clock: five hours behind UTC all year.
const STATION_OFFSET: Offset = Offset::constant(-5);

/// How many sensors the station has.
pub(super) const SENSORS: usize = 6;

/// What each sensor measures, in the order of the file's columns; sensor1 is the first.
pub(super) const QUANTITIES: [Quantity; SENSORS] = [
    Quantity { name: "temperature", unit: "Cel", uncertainty: Uncertainty::Code },
    Quantity { name: "humidity", unit: "%RH", uncertainty: Uncertainty::Code },
    Quantity { name: "pressure", unit: "mbar", uncertainty: Uncertainty::Code },
    Quantity { name: "wind", unit: "m/s", uncertainty: Uncertainty::Code },
    Quantity { name: "irradiance", unit: "W/m2", uncertainty: Uncertainty::Percent },
    Quantity { name: "rain", unit: "mm", uncertainty: Uncertainty::Code },
];

/// What a sensor measures.
#[derive(Debug, Clone, Copy)]
pub(super) struct Quantity {
    pub(super) name: &'static str,
    pub(super) unit: &'static str,
    uncertainty: Uncertainty,
}

/// What the file's uncertainty column says.
#[derive(Debug, Clone, Copy)]
enum Uncertainty {
    /// A percentage of the value.
    Percent,
    /// A TMY3 code from 7 (as certain as its instrument) to 9 (unknown): not a number to compute with.
    Code,
}

/// One hour at the station.
#[derive(Debug)]
pub(super) struct Hour {
    /// Which of the file's hours, from 1.
    number: usize,
    /// When it ended: RFC 3339, by the station's clock.
    observed: String,
    measured: [Measured; SENSORS],
}

/// One value as it stands in the file.
#[derive(Debug)]
struct Measured {
    value: Box<RawValue>,
    source: Box<str>,
    uncertainty: Box<RawValue>,
}

/// The built-in file is not as it should be: our fault.
#[derive(Debug, thiserror::Error)]
pub(super) enum FileError {
    /// Not a CSV file of the expected columns.
    #[error("the built-in weather file cannot be read")]
    Csv(#[from] csv::Error),
    /// A cell is not what its column says.
    #[error("hour {0} of the built-in weather file is malformed")]
    Hour(usize),
}

/// A row: date and time, then value, source flag and uncertainty of each sensor.
type Row = (String, String, [(String, String, String); SENSORS]);

/// The file's hours, in its order.
pub(super) fn hours() -> Result<Vec<Hour>, FileError> {
    let rows = csv::Reader::from_reader(FILE.as_bytes()).into_deserialize();
    rows.zip(1..).map(|(row, number)| Hour::from_row(number, row?).ok_or(FileError::Hour(number))).collect()
}

impl Hour {
    fn from_row(number: usize, (date, time, measured): Row) -> Option<Self> {
        let mut cells = Vec::with_capacity(SENSORS);
        for (value, source, uncertainty) in measured {
            cells.push(Measured { value: json(value)?, source: source.into(), uncertainty: json(uncertainty)? });
        }
        Some(Self { number, observed: observed(&date, &time)?, measured: cells.try_into().ok()? })
    }

    /// The JSON line that a sensor (from 0) sends for this hour at `now`.
    pub(super) fn line(&self, sensor: usize, now: UnixMillis) -> Option<String> {
        let (quantity, measured) = (QUANTITIES.get(sensor)?, self.measured.get(sensor)?);
        let uncertainty = &*measured.uncertainty;
        let (percent, code) = match quantity.uncertainty {
            Uncertainty::Percent => (Some(uncertainty), None),
            Uncertainty::Code => (None, Some(uncertainty)),
        };
        let line = Line {
            name: quantity.name,
            value: &measured.value,
            unit: quantity.unit,
            time: now.to_string(),
            uncertainty: percent,
            observed: &self.observed,
            hour: self.number,
            tmy3_source: &measured.source,
            tmy3_uncertainty: code,
        };
        serde_json::to_string(&line).ok()
    }
}

/// What a sensor sends. The first five members mean something to the NOS; the others it keeps as they are.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    name: &'static str,
    value: &'a RawValue,
    unit: &'static str,
    time: String,
    /// A percentage of the value.
    #[serde(skip_serializing_if = "Option::is_none")]
    uncertainty: Option<&'a RawValue>,
    observed: &'a str,
    hour: usize,
    tmy3_source: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    tmy3_uncertainty: Option<&'a RawValue>,
}

/// `01/31/1988`, `24:00` by the station's clock is `1988-02-01T00:00:00-05:00`.
fn observed(date: &str, time: &str) -> Option<String> {
    let mut parts = date.split('/');
    let (month, day, year) = (parts.next()?, parts.next()?, parts.next()?);
    let (hour, minute) = time.split_once(':')?;
    let midnight = Date::new(year.parse().ok()?, month.parse().ok()?, day.parse().ok()?).ok()?.at(0, 0, 0, 0);
    let since = Span::new().try_hours(hour.parse::<i64>().ok()?).ok()?.try_minutes(minute.parse::<i64>().ok()?).ok()?;
    let instant = STATION_OFFSET.to_timestamp(midnight.checked_add(since).ok()?).ok()?;
    Some(instant.display_with_offset(STATION_OFFSET).to_string())
}

/// A cell as a JSON number, digit for digit.
fn json(cell: String) -> Option<Box<RawValue>> {
    cell.parse::<f64>().ok()?;
    RawValue::from_string(cell).ok()
}

#[cfg(test)]
mod scores;
#[cfg(test)]
mod tests;
