use super::{super::Stage, Budget, Counted, Measured, Verdict};

fn verdicts(instructions: f64, allocations: f64, budget: Option<Budget>) -> Vec<Verdict> {
    let stage = Stage { name: "seal".into(), operation: String::new(), times: 1 };
    Measured { stage, budget, counted: Counted { instructions, allocations, ..Counted::default() } }.verdicts()
}

const BUDGET: Option<Budget> = Some(Budget { instructions: 1_000, allocations: 2.0 });

#[test]
fn instructions_may_rise_by_five_percent_and_allocations_not_at_all() {
    assert_eq!(verdicts(1_049.0, 2.01, BUDGET), []);
    assert!(matches!(verdicts(1_051.0, 2.0, BUDGET)[..], [Verdict::Over(_)]));
    assert!(matches!(verdicts(1_000.0, 2.1, BUDGET)[..], [Verdict::Over(_)]));
}

#[test]
fn what_became_cheaper_is_said() {
    assert_eq!(verdicts(951.0, 2.0, BUDGET), []);
    assert!(matches!(verdicts(900.0, 1.0, BUDGET)[..], [Verdict::Loose(_), Verdict::Loose(_)]));
}

#[test]
fn a_stage_without_a_budget_is_over_it() {
    assert!(matches!(verdicts(1.0, 0.0, None)[..], [Verdict::Over(_)]));
}
