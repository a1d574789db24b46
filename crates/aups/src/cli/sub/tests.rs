use super::*;
use crate::cli::failure::Exit;

fn sub(arguments: &[&str]) -> Sub {
    #[derive(clap::Parser)]
    struct Only {
        #[command(flatten)]
        sub: Sub,
    }
    <Only as clap::Parser>::try_parse_from([&["sub", "--as", "a.json", "data/#"], arguments].concat()).unwrap().sub
}

fn exit(done: &Result<(), Failure>) -> Option<Exit> {
    match done {
        Ok(()) => None,
        Err(Failure::Told { exit, .. }) => Some(*exit),
        Err(Failure::OutputClosed) => panic!("nothing was written"),
    }
}

#[test]
fn what_a_timeout_means_depends_on_what_came_and_what_was_asked_for() {
    let (endless, counted) = (sub(&["--timeout", "5"]), sub(&["--timeout", "5", "--count", "3"]));
    for (opened, denied, of_endless, of_counted) in [
        (0, 0, None, Some(Exit::Failed)),
        (0, 2, Some(Exit::Denied), Some(Exit::Denied)),
        (1, 2, None, Some(Exit::Failed)),
    ] {
        let tally = Tally { opened, denied };
        assert_eq!(exit(&endless.after_timeout(&tally)), of_endless, "{tally:?}");
        assert_eq!(exit(&counted.after_timeout(&tally)), of_counted, "{tally:?}");
    }
}

#[test]
fn seconds_are_above_nothing_and_below_a_year() {
    assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
    for bad in ["", "0", "-1", "NaN", "inf", "1e300", "soon"] {
        assert!(seconds(bad).is_err(), "{bad}");
    }
}
