use super::*;

fn told(failure: Failure) -> (Exit, String) {
    match failure {
        Failure::Told { exit, error, .. } => (exit, error),
        Failure::OutputClosed => panic!("nothing was told"),
    }
}

#[test]
fn a_problem_is_told_by_its_detail_and_its_place() {
    let problem = Problem::new(400, "registration", "Registration refused", "`NodeType` is missing").member("NodeType");
    assert_eq!(
        told(Failure::answered(&problem)),
        (Exit::InputRefused, "`NodeType` is missing (member `NodeType`)".into())
    );
    let problem = Problem::new(503, "busy", "Busy", "");
    assert_eq!(told(Failure::answered(&problem)), (Exit::Failed, "Busy (HTTP 503)".into()));
}

#[test]
fn who_may_not_is_denied_and_what_is_wrong_is_refused() {
    for (status, exit) in [
        (401, Exit::Denied),
        (403, Exit::Denied),
        (409, Exit::InputRefused),
        (422, Exit::InputRefused),
        (404, Exit::Failed),
        (500, Exit::Failed),
    ] {
        assert_eq!(told(Failure::answered(&Problem::new(status, "x", "X", "y"))).0, exit, "{status}");
    }
}

#[test]
fn a_closed_pipe_is_no_failure() {
    assert!(matches!(Failure::from(io::Error::from(io::ErrorKind::BrokenPipe)), Failure::OutputClosed));
    assert_eq!(told(Failure::from(io::Error::from(io::ErrorKind::StorageFull))).0, Exit::Failed);
}
