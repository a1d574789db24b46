use super::*;

const ID: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

#[test]
fn an_item_is_found_alone_and_in_a_line_of_sub() {
    let id = ID.parse().map(ItemId).ok();
    assert_eq!(item_id(&format!(r#"{{"id":"{ID}","data":{{}}}}"#)), id);
    assert_eq!(item_id(&format!(r#"{{"topic":"t","item":{{"id":"{ID}"}},"status":"fresh"}}"#)), id);
    assert_eq!(item_id(&format!(r#"{{"item":{{"id":"{ID}"}},"scores":[]}}"#)), None, "explained already");
    for other in ["", "[]", "{}", r#"{"id":"seven"}"#] {
        assert_eq!(item_id(other), None, "{other}");
    }
}
