use super::*;
use crate::fixture::{LIFE, spec};
use aups_core::RealmId;

fn with(app: &str, user: &str) -> ScopeSpec {
    let spec = spec(RealmId::from_bytes([3; 32]), 0, LIFE);
    ScopeSpec { app: app.into(), user: user.into(), ..spec }
}

const EVERYBODY: &str = "permit(principal, action, resource);";
const METEO: &str = r#"permit(principal, action, resource) when { principal.roles.contains("meteorologist") };"#;
const CLEARED: &str = "permit(principal, action, resource) when { principal.clearance > 3 };";
const NOT_ACME: &str = r#"forbid(principal, action, resource) when { principal.org == "acme" };"#;

#[test]
fn who_may_read_is_said_in_words() {
    for (app, user, words) in [
        ("", "", "nobody".to_owned()),
        (EVERYBODY, EVERYBODY, "users and apps: any".to_owned()),
        ("", METEO, r#"users: principal.roles.contains("meteorologist")"#.to_owned()),
        (CLEARED, METEO, r#"users: principal.roles.contains("meteorologist"); apps: principal.clearance > 3"#.to_owned()),
        (
            &[NOT_ACME, CLEARED, METEO].join("\n"),
            "",
            r#"apps: principal.clearance > 3 or principal.roles.contains("meteorologist"), unless principal.org == "acme""#
                .to_owned(),
        ),
        ("", NOT_ACME, "nobody".to_owned()),
        ("", "permit(principal, action, resource) unless { false };", "users:  unless { false };".to_owned()),
    ] {
        assert_eq!(atb(&with(app, user)), words);
    }
}

#[test]
fn long_residuals_are_cut_between_characters() {
    let long = format!(r#"permit(principal, action, resource) when {{ principal.org == "{}" }};"#, "ü".repeat(1_000));
    let words = atb(&with("", &long));
    assert_eq!(words.chars().count(), ATB_CHARS_MAX);
    assert!(words.ends_with("ü…"));
}
