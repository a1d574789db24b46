use super::*;

#[test]
fn unregistered_sources_cannot_share_a_first_level_with_registered_ones() {
    assert_eq!(
        Topics::new("data/{nodeId}/{name}", "data/x/{nodeId}/{name}").unwrap_err(),
        TopicsError::SameLevel("data".into())
    );
    for bad in ["{nodeId}/{name}", "/{nodeId}", "aups/{nodeId}", "$SYS/{nodeId}", "data", "d{name}/x"] {
        assert!(matches!(Topics::new(bad, "unregistered/{name}"), Err(TopicsError::FirstLevel(_))), "{bad}");
        assert!(matches!(Topics::new("data/{name}", bad), Err(TopicsError::FirstLevel(_))), "{bad}");
    }
    assert!(matches!(Topics::new("data/{id}", "unregistered/{name}"), Err(TopicsError::Template { .. })));
}

#[test]
fn the_defaults_are_sound_and_the_demo_has_its_own() {
    let _ = Topics::default();
    Topics::new("greensboro/{nodeId}/{name}", "unregistered/{nodeId}/{name}").unwrap();
}
