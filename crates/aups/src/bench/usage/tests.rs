use super::*;

#[test]
fn a_name_with_spaces_and_parentheses_moves_no_field() {
    let stat =
        "42 (a) b (c)) S 1 42 42 0 -1 4194304 1000 0 0 0 123 45 0 0 20 0 3 0 100 1000000 250 18446744073709551615";
    assert_eq!(cpu_ticks(stat), Some(168));
    assert_eq!(cpu_ticks("42 (a) S 1"), None);
}

#[test]
fn memory_is_told_in_kibibytes() {
    let status = "Name:\taups\nVmHWM:\t   2048 kB\nVmRSS:\t    1024 kB\n";
    assert_eq!(bytes_of(status, "VmRSS"), Some(1 << 20));
    assert_eq!(bytes_of(status, "VmHWM"), Some(2 << 20));
    assert_eq!(bytes_of(status, "VmSwap"), None);
}

#[test]
#[cfg(target_os = "linux")]
fn this_process_takes_something() {
    let usage = Usage::of(std::process::id()).unwrap();
    assert!(usage.rss_bytes > 0 && usage.rss_peak_bytes >= usage.rss_bytes, "{usage:?}");
}
