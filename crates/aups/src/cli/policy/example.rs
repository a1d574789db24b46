//! `aups policy example`: policy sets to start from, each with the expectations that it meets.

use crate::cli::{failure::Failure, terminal};
use clap::{Args, builder::PossibleValuesParser};

/// Print a policy set to start from; without a name, list them
#[derive(Debug, Args)]
pub(super) struct Example {
    /// Which
    #[arg(value_name = "NAME", value_parser = PossibleValuesParser::new(STARTERS.iter().map(|starter| starter.name)))]
    starter: Option<String>,
    /// Its expectations instead, for `aups policy test`
    #[arg(long, requires = "starter")]
    tests: bool,
}

/// A policy set to start from.
struct Starter {
    name: &'static str,
    policies: &'static str,
    expectations: &'static str,
}

macro_rules! starter {
    ($name:literal) => {
        Starter {
            name: $name,
            policies: include_str!(concat!("../../../policies/", $name, ".cedar")),
            expectations: include_str!(concat!("../../../policies/", $name, ".toml")),
        }
    };
}

const STARTERS: [Starter; 6] = [
    starter!("building"),
    starter!("factory"),
    starter!("health"),
    starter!("open-data"),
    starter!("research-sharing"),
    starter!("weather-station"),
];

impl Starter {
    /// The first line of its text, which says for whom it is.
    fn summary(&self) -> &str {
        self.policies.lines().next().unwrap_or_default().trim_start_matches(['/', ' '])
    }
}

impl Example {
    pub(super) fn run(&self) -> Result<(), Failure> {
        let named = self.starter.as_deref().and_then(|name| STARTERS.iter().find(|starter| starter.name == name));
        match named {
            Some(starter) if self.tests => terminal::text(starter.expectations),
            Some(starter) => terminal::text(starter.policies),
            None => {
                let rows = STARTERS.iter().map(|starter| [starter.name.to_owned(), starter.summary().to_owned()]);
                terminal::line(&terminal::table(&["NAME", "FOR"], &rows.collect::<Vec<_>>()))
            }
        }
    }
}

#[cfg(test)]
mod tests;
