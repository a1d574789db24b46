use super::*;
use crate::fixtures::{REALM, Sample, With, app, pdp, user};
use aups_core::{Obligations, Suite, UnixMillis};

fn scope(policies: &str, sample: &Sample) -> Arc<ScopeSpec> {
    pdp(policies).scope(&sample.resource()).unwrap()
}

fn sample() -> Sample {
    Sample::new("a/b/c")
}

#[test]
fn names_annotations_order_and_repetition_leave_no_trace() {
    let one = r#"
        @id("x") @title("one") permit(principal, action, resource in Topic::"a") when { principal.clearance > 3 };
        @id("y") permit(principal in Group::"ops", action, resource);"#;
    let two = r#"
        permit(principal in Group::"ops", action == Action::"receive", resource in Topic::"a/b");
        permit(principal, action, resource) when { principal.clearance > 3 };
        permit(principal, action, resource) when { principal.clearance > 3 && resource.source.registered };"#;
    assert_eq!(scope(one, &sample()), scope(two, &sample()));
    let text = "permit(principal, action, resource) when { !(principal.clearance <= 3) };\n\
                permit(principal, action, resource) when { principal in Group::\"ops\" };";
    assert_eq!((&*scope(one, &sample()).app, &*scope(one, &sample()).user), (text, text));
}

#[test]
fn what_can_never_be_true_falls_away() {
    let clean = r#"permit(principal, action, resource) when { principal.org == "x" };"#;
    let noisy = r#"
        permit(principal, action, resource) when { principal.org == "x" };
        permit(principal, action, resource) when { principal.org == "y" && resource.name == "humidity" };
        permit(principal, action, resource) when { principal.clearance + 1 > 2 && resource.name == "humidity" };
        forbid(principal, action, resource) when { principal.clearance < 3 && resource.name == "humidity" };
        forbid(principal, action, resource in Topic::"elsewhere");"#;
    assert_eq!(scope(clean, &sample()), scope(noisy, &sample()));
}

#[test]
fn a_true_permit_absorbs_the_others_but_not_their_obligations() {
    let spec = scope(
        r#"permit(principal, action, resource);
        @obligation("sign, pad:32") @keylife("1m") permit(principal, action, resource) when { principal.clearance > 3 };
        @obligation("pad:4096") @keylife("1s") permit(principal, action, resource) when { principal.org == "x" && resource.name == "y" };
        @keylife("2m") permit(principal is User, action, resource);
        forbid(principal, action, resource) when { principal.org == "evil" };"#,
        &sample(),
    );
    let text =
        "forbid(principal, action, resource) when { principal.org == \"evil\" };\npermit(principal, action, resource);";
    assert_eq!((&*spec.app, &*spec.user), (text, text));
    assert_eq!(
        spec.obligations,
        Obligations { sign: true, pad_bytes: 32, ..Obligations::default() },
        "of those that remain"
    );
    assert_eq!((spec.life_ms, spec.suite), (60_000, Suite::Aes256Gcm));
}

#[test]
fn kinds_of_readers_have_residuals_of_their_own() {
    let spec = scope("permit(principal is App, action, resource);", &sample());
    assert_eq!((&*spec.app, &*spec.user), (EVERYBODY, ""));
    let residuals = Residuals::new(16);
    let satisfies = |who: &Principal| residuals.satisfies(&spec, who, &RequestContext::default());
    assert!(satisfies(&app("alice")).allow);
    assert_eq!(satisfies(&app("alice")).reasons, [EVERYBODY]);
    assert_eq!(satisfies(&user("alice")), Decision::default());
}

#[test]
fn a_scope_is_named_by_all_that_it_is() {
    let base = r"permit(principal, action, resource) when { principal.clearance > 3 };";
    let spec = scope(base, &sample());
    let named =
        aups_envelope::schedule::scope_id(&REALM, &spec.app, &spec.user, &spec.obligations, spec.suite, spec.life_ms);
    assert_eq!(spec.id, named);
    for annotation in
        ["@keylife(\"6m\")", "@obligation(\"sign\")", "@obligation(\"pad:16\")", "@suite(\"chacha20-poly1305\")"]
    {
        assert_ne!(scope(&format!("{annotation} {base}"), &sample()).id, spec.id, "{annotation}");
    }
    assert_eq!(scope(&format!("@keylife(\"5m\") {base}"), &sample()).id, spec.id);
}

#[test]
fn context_is_asked_for_with_each_key() {
    let spec = scope(
        r#"permit(principal, action, resource) when { context has address && context.address.isInRange(ip("10.0.0.0/8")) };
        forbid(principal, action, resource) when { context has at && context.at > datetime("2026-01-01T00:00:00Z") };"#,
        &sample(),
    );
    let residuals = Residuals::new(16);
    let at = |text: &str| Some(UnixMillis::parse_rfc3339(text).unwrap());
    let address = |text: &str| Some(text.parse().unwrap());
    for (context, allow) in [
        (RequestContext::default(), false),
        (RequestContext { at: None, address: address("10.1.2.3") }, true),
        (RequestContext { at: None, address: address("::ffff:10.1.2.3") }, true),
        (RequestContext { at: None, address: address("11.1.2.3") }, false),
        (RequestContext { at: at("2025-12-31T23:59:59Z"), address: address("10.1.2.3") }, true),
        (RequestContext { at: at("2026-01-01T00:00:00.001Z"), address: address("10.1.2.3") }, false),
    ] {
        let decision = residuals.satisfies(&spec, &user("alice"), &context);
        assert_eq!((decision.allow, decision.errors), (allow, vec![]), "{context:?}");
    }
}

#[test]
fn a_permit_that_fails_permits_nothing_and_a_forbid_that_fails_forbids() {
    let failing = "principal.clearance * 4611686018427387904 == 0";
    let reader = user("alice").clearance(4);
    let permits = format!("permit(principal, action, resource) when {{ {failing} }};");
    let also = format!("{permits} permit(principal, action, resource) when {{ principal.clearance == 4 }};");
    let forbids =
        format!("permit(principal, action, resource); forbid(principal, action, resource) when {{ {failing} }};");
    for (policies, allow) in [(permits, false), (also, true), (forbids, false)] {
        let pdp = pdp(&policies);
        let sample = sample();
        let spec = pdp.scope(&sample.resource()).unwrap();
        let by_scope = Residuals::new(1).satisfies(&spec, &reader, &RequestContext::default());
        let by_cedar = pdp.decide(&reader, &sample.resource(), &RequestContext::default());
        assert_eq!((by_scope.allow, by_cedar.allow), (allow, allow), "{policies}");
        assert!(!by_scope.errors.is_empty() && !by_cedar.errors.is_empty());
    }
}

#[test]
fn a_forbid_with_a_part_that_no_text_can_express_lets_nobody_read() {
    let yes = Expr::Literal(Literal::Bool(true));
    let open =
        Expr::HasAttr { expr: Arc::new(Expr::Var(Var::Context)), attrs: cedar_policy::pst::NonEmpty::new("at".into()) };
    let and = |left: &Expr, right: &Expr| Expr::BinaryOp {
        op: cedar_policy::pst::BinaryOp::And,
        left: Arc::new(left.clone()),
        right: Arc::new(right.clone()),
    };
    let part = |effect, condition: &Expr| Part::of(effect, condition).unwrap();
    assert_eq!(part(Effect::Permit, &yes), Part::Everybody);
    assert_eq!(part(Effect::Permit, &and(&open, &Expr::ResidualError)), Part::Nothing, "a permit falls away");
    assert_eq!(part(Effect::Forbid, &and(&open, &Expr::ResidualError)), Part::Nobody);
    let mut residual = Residual::default();
    assert!(residual.add(&Part::Everybody) && !residual.add(&Part::Nothing) && residual.add(&Part::Nobody));
    assert_eq!(&*residual.finish().unwrap(), "");
}

#[test]
fn a_text_that_reads_differently_is_noticed() {
    let yes = Expr::Literal(Literal::Bool(true));
    assert!(reads_as("permit(principal, action, resource) when { true };", &yes));
    for line in [
        "permit(principal, action, resource) when { false };",
        "permit(principal, action, resource) when { true } when { true };",
        "permit(principal, action, resource) unless { true };",
        "permit",
    ] {
        assert!(!reads_as(line, &yes), "{line}");
    }
}

#[test]
fn residuals_have_a_longest_length() {
    let long = "x".repeat(40_000);
    let policy = |n: usize| format!("permit(principal, action, resource) when {{ principal.org == \"{n}{long}\" }};\n");
    let policies = (0..7).map(policy).collect::<Vec<_>>().concat();
    let withheld = pdp(&policies).scope(&sample().resource()).unwrap_err();
    assert!(withheld.to_string().contains("262144 bytes"), "{withheld}");
}

#[test]
fn a_residual_that_is_not_cedar_denies_with_an_error() {
    let mut spec = ScopeSpec::clone(&scope("permit(principal, action, resource);", &sample()));
    spec.user = "permit(everybody);".into();
    let decision = Residuals::new(1).satisfies(&spec, &user("alice"), &RequestContext::default());
    assert!(!decision.allow && decision.errors.len() == 1, "{decision:?}");
}

#[test]
fn texts_with_quotes_line_breaks_and_far_characters_come_back() {
    for org in ["a\"b", "a\\nb", "\\u{301}x", "é\\u{2028}", "*\\\"", "a\\\\"] {
        let org = org.replace('"', "\\\"").replace("\\\\\"", "\\\"");
        let spec = scope(
            &format!(
                "permit(principal, action, resource) when {{ principal.org == \"{org}\" && resource has value }};"
            ),
            &sample(),
        );
        assert_eq!(spec.user.lines().count(), 1, "{}", spec.user);
    }
}

#[test]
fn what_one_kind_of_reader_may_not_read_demands_nothing_of_the_other() {
    let spec = scope(
        r#"@keylife("1m") permit(principal is User, action, resource);
        @obligation("sign, redact:/data/gps") @keylife("1s") @suite("chacha20-poly1305")
        permit(principal is App, action, resource) when { principal.clearance > 3 };
        @obligation("pad:32") forbid(principal is App, action, resource);"#,
        &sample(),
    );
    assert_eq!((&*spec.app, &*spec.user), ("", "permit(principal, action, resource);"));
    assert_eq!(
        (spec.obligations.clone(), spec.life_ms, spec.suite),
        (Obligations::default(), 60_000, Suite::Aes256Gcm)
    );
}

#[test]
fn one_item_is_redacted_in_a_bounded_number_of_places() {
    let policy = |n: usize| {
        let list = (0..16).map(|m| format!("redact:/data/m{n}x{m}")).collect::<Vec<_>>().join(",");
        format!("@obligation(\"{list}\") permit(principal, action, resource);")
    };
    let policies = |count: usize| (0..count).map(policy).collect::<String>();
    assert_eq!(scope(&policies(16), &sample()).obligations.redact.len(), 256);
    let withheld = pdp(&policies(17)).scope(&sample().resource()).unwrap_err();
    assert!(withheld.to_string().contains("more than 256 places"), "{withheld}");
}

#[test]
fn a_residual_that_asks_for_the_item_is_no_residual() {
    for condition in [r#"Item::"item".hasTag(principal.org)"#, "resource has value", "principal == resource"] {
        let policy = format!("forbid(principal, action, resource) when {{ principal has org && {condition} }};");
        let policy = Policy::parse(None, policy).unwrap().to_pst().unwrap();
        let [Clause::When(condition)] = policy.body().clauses().as_slice() else { panic!() };
        assert!(matches!(Part::of(Effect::Forbid, condition), Err(ResidualError::AsksForItem(_))));
    }
}
