use super::*;
use aups_core::{Attributes, Obligations, ReaderKind, Suite};

fn spec(n: u8, user: &str) -> Arc<ScopeSpec> {
    Arc::new(ScopeSpec {
        id: ScopeId::from_bytes([n; 32]),
        app: "".into(),
        user: user.into(),
        obligations: Obligations::default(),
        suite: Suite::default(),
        life_ms: 300_000,
    })
}

fn user(sub: &str, clearance: i64) -> Principal {
    let attributes = Attributes { clearance, ..Attributes::default() };
    Principal { kind: ReaderKind::User, sub: sub.parse().unwrap(), attributes, groups: [].into(), app: None }
}

fn demoted(sub: &str) -> Affected {
    Affected { before: user(sub, 3), after: Some(user(sub, 0)) }
}

#[test]
fn readers_that_look_alike_are_told_apart_where_a_residual_names_them() {
    let scopes = [
        spec(1, "permit(principal, action, resource) when { principal.clearance >= 2 };"),
        spec(2, "permit(principal, action, resource) when { principal == User::\"bob\" && principal.clearance >= 2 };"),
        spec(3, "permit(principal, action, resource) when { principal == User::\"carol\" };"),
    ];
    let affected = [demoted("alice"), demoted("bob"), demoted("carol")];
    let lost = lost(&Residuals::new(16), &Schema::shipped(), &scopes, &affected);
    assert_eq!(lost.scopes, [scopes[0].id, scopes[1].id].into());
    assert_eq!(lost.readers.len(), 3);
    let named = super::lost(&Residuals::new(16), &Schema::shipped(), &scopes[1..], &affected);
    assert_eq!(named.readers, ["bob".parse().unwrap()].into());
}

#[test]
fn all_of_a_group_lose_what_one_of_them_loses() {
    let scopes: Vec<_> = (0..100)
        .map(|n| spec(n, &format!("permit(principal, action, resource) when {{ principal.clearance > {n} }};")))
        .collect();
    let affected: Vec<_> = (0..10_000).map(|n| demoted(&format!("r{n}"))).collect();
    let lost = lost(&Residuals::new(200), &Schema::shipped(), &scopes, &affected);
    assert_eq!((lost.scopes.len(), lost.readers.len()), (3, 10_000));
}
