use super::*;
use crate::fixtures::{Sample, With as _, app, pdp, user};
use std::sync::Arc;

/// The scope of an item under `a/b`.
fn spec(policies: &str) -> Arc<ScopeSpec> {
    pdp(policies).scope(&Sample::new("a/b").resource()).unwrap()
}

fn loses(policies: &str, before: &Principal, after: Option<&Principal>) -> bool {
    Residuals::new(16).loses(&spec(policies), before, after, &Schema::shipped())
}

const METEO: &str = r#"permit(principal, action, resource) when { principal.roles.contains("meteo") };"#;

#[test]
fn a_scope_is_lost_by_who_could_read_it_and_can_no_longer() {
    let (with, without) = (user("alice").role("meteo"), user("alice"));
    assert!(loses(METEO, &with, Some(&without)));
    assert!(loses(METEO, &with, None));
    assert!(!loses(METEO, &with, Some(&with.clone().org("acme"))), "what it does not ask");
    assert!(!loses(METEO, &without, Some(&with)), "a gain");
    assert!(!loses(METEO, &without, None), "it never could");
    let forbids = format!("{METEO} forbid(principal, action, resource) when {{ principal.org == \"evil\" }};");
    assert!(loses(&forbids, &with, Some(&with.clone().org("evil"))));
}

#[test]
fn time_and_address_count_as_they_may_be() {
    let permit = r#"permit(principal, action, resource)
        when { principal.roles.contains("meteo") && context has at && context.at < datetime("2030-01-01") };"#;
    let (with, without) = (user("alice").role("meteo"), user("alice"));
    assert!(loses(permit, &with, Some(&without)));
    assert!(!loses(permit, &with, Some(&with.clone().org("acme"))), "the same in every context");
    assert!(!loses(permit, &without, Some(&with)));
    assert!(!loses(permit, &without, None));

    let forbid = r#"permit(principal, action, resource);
        forbid(principal, action, resource) when { context has address && principal.org == "acme" };"#;
    let (free, bound) = (user("bob"), user("bob").org("acme"));
    assert!(loses(forbid, &free, Some(&bound)), "from some addresses");
    assert!(!loses(forbid, &bound, Some(&free)));
    assert!(loses(forbid, &bound, None));
}

#[test]
fn the_users_of_an_app_lose_what_the_app_loses() {
    for condition in [r#"principal.org == "acme""#, r#"principal.org == "acme" && !(context has address)"#] {
        let policies = format!("permit(principal, action, resource) when {{ {condition} }};");
        let of = |app: Principal| Principal { app: Some(Arc::new(app)), ..user("carol").org("acme") };
        let (with, without) = (app("dashboard").org("acme"), app("dashboard"));
        assert!(loses(&policies, &of(with.clone()), Some(&of(without.clone()))), "{condition}");
        assert!(!loses(&policies, &of(with.clone()), Some(&of(with.clone().role("x")))), "{condition}");
        assert!(!loses(&policies, &of(without.clone()), None), "{condition}: it never could");
        assert!(loses(&policies, &of(with), None), "{condition}");
    }
}
