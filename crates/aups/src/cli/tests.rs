use super::*;
use clap::{CommandFactory as _, error::ErrorKind};

fn parse(arguments: &[&str]) -> Result<Cli, clap::Error> {
    Cli::try_parse_from([&["aups"], arguments].concat())
}

#[test]
fn the_commands_hold_together() {
    Cli::command().debug_assert();
}

#[test]
fn every_command_says_what_it_does_and_shows_examples() {
    let mut cli = Cli::command();
    cli.build();
    for command in cli.get_subcommands().filter(|command| command.get_name() != "help") {
        let name = command.get_name();
        assert!(command.get_long_about().is_some(), "{name}");
        assert!(examples(command).starts_with("Examples:") && examples(command).contains("aups "), "{name}");
        check(command, name);
    }
}

/// What holds for a command and all commands below it.
fn check(command: &clap::Command, name: &str) {
    assert!(command.get_about().is_some_and(|about| !about.to_string().is_empty()), "{name}");
    for line in examples(command).lines() {
        assert!(line.chars().count() <= 80, "a terminal of 80 columns breaks the line of {name}: {line}");
    }
    for argument in command.get_arguments() {
        assert!(argument.get_help().is_some(), "{name}: {}", argument.get_id());
    }
    for below in command.get_subcommands().filter(|below| below.get_name() != "help") {
        check(below, &format!("{name} {}", below.get_name()));
    }
}

fn examples(command: &clap::Command) -> String {
    command.get_after_help().map(ToString::to_string).unwrap_or_default()
}

#[test]
fn the_servers_flags_are_taken_after_any_subcommand() {
    let server = |arguments: &[&str]| parse(arguments).unwrap().server.server.to_string();
    for arguments in [
        &["--server", "http://h:1", "user", "add", "alice"][..],
        &["user", "--server", "http://h:1", "add", "alice"],
        &["user", "add", "alice", "--server", "http://h:1"],
        &["send", "--anonymous", "--server", "http://h:1"],
        &["topics", "--as", "a.json", "--server", "http://h:1"],
    ] {
        assert_eq!(server(arguments), "http://h:1/", "{arguments:?}");
    }
    assert_eq!(server(&["user", "list"]), "http://127.0.0.1:8080/");
}

#[test]
fn what_cannot_be_meant_is_wrong_usage() {
    for (arguments, kind) in [
        (&["user", "add", "al ice"][..], ErrorKind::ValueValidation),
        (&["user", "add", "alice", "--attr", "clearance=x"], ErrorKind::ValueValidation),
        (&["user", "add", "alice", "--tag", "flat"], ErrorKind::ValueValidation),
        (&["user", "set", "alice", "--tag", "flat=7", "--no-tags"], ErrorKind::ArgumentConflict),
        (&["user", "set", "alice", "--group", "g", "--no-groups"], ErrorKind::ArgumentConflict),
        (&["user", "set", "alice"], ErrorKind::MissingRequiredArgument),
        (&["user", "list", "--server", "localhost:8080"], ErrorKind::ValueValidation),
        (&["policy", "check"], ErrorKind::MissingRequiredArgument),
        (&["sub", "data/#"], ErrorKind::MissingRequiredArgument),
        (&["sub", "--as", "a.json", "data/#/x"], ErrorKind::ValueValidation),
        (&["sub", "--as", "a.json", "data/#", "--count", "0"], ErrorKind::ValueValidation),
        (&["sub", "--as", "a.json", "data/#", "--min", "accuracy=0.8"], ErrorKind::ValueValidation),
        (&["send"], ErrorKind::MissingRequiredArgument),
        (&["send", "--anonymous", "--node", "n.json"], ErrorKind::ArgumentConflict),
        (&["send", "--anonymous", "--rate", "0"], ErrorKind::ValueValidation),
        (&["enrol", "--token", "nonsense", "--out", "a.json"], ErrorKind::ValueValidation),
        (&["up", "--http", "8080"], ErrorKind::ValueValidation),
        (&["up", "--durability", "paper"], ErrorKind::InvalidValue),
        (&["bench"], ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand),
        (&["bench", "revocation", "--revocations", "0"], ErrorKind::ValueValidation),
        (&["bench", "revocation", "--readers", "2"], ErrorKind::ValueValidation),
        (&["nos", "--admission", "sesame"], ErrorKind::ValueValidation),
        (&["ktm", "admit-nos"], ErrorKind::MissingRequiredArgument),
        (&["broker"], ErrorKind::InvalidSubcommand),
    ] {
        assert_eq!(parse(arguments).unwrap_err().kind(), kind, "{arguments:?}");
    }
}
