use super::*;

#[test]
fn a_table_is_as_wide_as_its_widest_cells() {
    let rows = [["alice", "meteorologist"], ["é", ""]].map(|row| row.map(str::to_owned));
    assert_eq!(table(&["SUB", "ROLES"], &rows), "SUB    ROLES\nalice  meteorologist\né      -");
}

#[test]
fn no_rows_are_the_headings_alone() {
    assert_eq!(table::<[String; 2]>(&["SUB", "ROLES"], &[]), "SUB  ROLES");
}

#[test]
fn colours_are_left_out_where_they_are_not_wanted() {
    assert_eq!(Paint::plain().red("error:"), "error:");
    assert_eq!(Paint { on: true }.red("error:"), "\x1b[1;31merror:\x1b[0m");
}

#[test]
fn what_others_wrote_does_not_steer_the_terminal() {
    assert_eq!(harmless("21 \x1b[2J°C\n\u{9b}1m"), "21 \u{fffd}[2J°C\u{fffd}\u{fffd}1m");
}
