use super::parse;

/// `main` calls `work` twice, which allocates once each time.
const PROFILE: &str = "\
version: 1
positions: line
events: Ir

fn=(1) main
5 10
cfn=(2) work
calls=2 1
+1 60

fn=(2)
1 20
cfn=(3) malloc
calls=2 0
* 40

fl=(9) malloc.c
fn=(3)
0 40
-3

totals: 70
";

#[test]
fn costs_are_counted_with_those_of_what_is_called() {
    let counted = parse(PROFILE).unwrap();
    assert_eq!((counted.instructions, counted.allocations), (70.0, 2.0));
    let functions: Vec<_> = counted.functions.iter().map(|(name, cost)| (&**name, *cost)).collect();
    assert_eq!(functions, [("main", 70.0), ("malloc", 40.0), ("work", 60.0)]);
}

#[test]
fn an_operation_is_what_the_longer_run_has_more() {
    let twice = PROFILE.replace("totals: 70", "totals: 100").replace("calls=2 0", "calls=6 0").replace("0 40", "0 70");
    let operation = parse(&twice).unwrap().less(&parse(PROFILE).unwrap()).by(2);
    assert_eq!((operation.instructions, operation.allocations), (15.0, 2.0));
    assert_eq!(operation.functions.get("malloc"), Some(&15.0));
}

#[test]
fn what_is_no_profile_is_refused() {
    assert!(parse("").is_err());
    assert!(parse("fn=main\n").is_err());
    assert!(parse("totals: many\n").is_err());
}
