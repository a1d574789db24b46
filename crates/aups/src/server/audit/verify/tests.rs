use super::super::chain::Signer;
use super::*;
use aups_envelope::SigningKey;
use proptest::prelude::*;
use std::fs;

/// A trail in memory: the lines of each of its files.
type Files = Vec<(u64, Vec<String>)>;

struct Signed {
    files: Files,
    key: SigningKey,
    newest: Checkpoint,
}

/// Some files of some lines each; every file ends with a checkpoint.
fn trail(files: usize, lines: usize) -> Signed {
    let key = SigningKey::from_seed(aups_envelope::Secret::from_bytes([7; 32]));
    let signer = Signer::key(SigningKey::from_seed(aups_envelope::Secret::from_bytes([7; 32])));
    let (mut head, mut made, mut newest) = (Head::NONE, Files::new(), None);
    for file in 0..files {
        let first = head.number + 1;
        let mut written = Vec::new();
        let mut add = |event: &Event, head: &mut Head| {
            let line = Told::of(event).line(*head, UnixMillis(1_000 + head.number));
            *head = Head::after(head.number + 1, line.as_bytes());
            written.push(line);
        };
        for line in 0..lines {
            add(&Event::Started { version: format!("{file}.{line}") }, &mut head);
        }
        let signed = signer.sign(head, UnixMillis(1_000 + head.number)).unwrap();
        newest = Some(Checkpoint::verify(&signed, None).unwrap());
        add(&Event::Checkpoint { signed }, &mut head);
        made.push((first, written));
    }
    Signed { files: made, key, newest: newest.unwrap() }
}

/// Chains lines from one on anew, as somebody would who has changed it and not the realm's key.
fn chain_anew(files: &mut Files, from: usize) {
    let mut head = Head::NONE;
    for (index, line) in files.iter_mut().flat_map(|(_, lines)| lines).enumerate() {
        if index >= from
            && let Ok(serde_json::Value::Object(mut value)) = serde_json::from_str(line)
        {
            value.insert("prev".into(), b64::encode(&head.hash).into());
            value.insert("number".into(), (index + 1).into());
            let order = ["number", "prev", "at"];
            let firsts = order.iter().filter_map(|name| value.get(*name).map(|of| format!("{name:?}:{of}")));
            let others = value.iter().filter(|(name, _)| !order.contains(&name.as_str()));
            let members: Vec<_> = firsts.chain(others.map(|(name, of)| format!("{name:?}:{of}"))).collect();
            *line = format!("{{{}}}", members.join(","));
        }
        head = Head::after(index as u64 + 1, line.as_bytes());
    }
}

fn verified(files: &Files, trusted: Trusted) -> Verdict {
    let mut verifier = Verifier::new(trusted);
    for (first, lines) in files {
        for (index, line) in lines.iter().enumerate() {
            let place = Place { file: Some(format!("{first}.jsonl").into()), line: index as u64 + 1 };
            verifier.line(place, line.as_bytes(), (index == 0).then_some(*first));
        }
    }
    verifier.finish()
}

fn knowing(signed: &Signed) -> Trusted {
    Trusted { realm_key: Some(signed.key.public()), checkpoint: None }
}

fn with_checkpoint(signed: &Signed) -> Trusted {
    Trusted { checkpoint: Some(signed.newest.clone()), ..knowing(signed) }
}

fn told(verdict: &Verdict) -> Vec<String> {
    verdict.faults.iter().map(ToString::to_string).collect()
}

#[test]
fn a_whole_trail_holds() {
    let signed = trail(3, 5);
    for trusted in [Trusted::default(), knowing(&signed), with_checkpoint(&signed)] {
        let known = trusted.realm_key.is_some();
        let verdict = verified(&signed.files, trusted);
        assert!(verdict.ok, "{:?}", verdict.faults);
        assert_eq!((verdict.first, verdict.last, verdict.lines, verdict.checkpoints), (1, 18, 18, 3));
        assert_eq!((verdict.signed_through, verdict.key_known), (17, known));
    }
    let later = verified(&signed.files[1..].to_vec(), with_checkpoint(&signed));
    assert!(later.ok && later.first == 7, "older files may be elsewhere: {:?}", later.faults);
}

#[test]
fn what_is_wrong_is_named() {
    let signed = trail(3, 5);
    let check = |expected: &str, change: &dyn Fn(&mut Files)| {
        let mut files = signed.files.clone();
        change(&mut files);
        let verdict = verified(&files, with_checkpoint(&signed));
        assert!(!verdict.ok);
        assert!(told(&verdict).iter().any(|fault| fault.contains(expected)), "{expected}: {:#?}", told(&verdict));
    };
    check("7.jsonl, line 2: it was changed", &|files| files[1].1[1] = files[1].1[1].replace("1.1", "6.6"));
    check("7.jsonl, line 2: line 8 of the trail is missing before this one", &|files| drop(files[1].1.remove(1)));
    check("7.jsonl, line 3: this is line 8 of the trail and stands after line 9", &|files| files[1].1.swap(1, 2));
    check("1.jsonl, line 4: this is line 3 of the trail", &|files| {
        let again = files[0].1[2].clone();
        files[0].1.insert(3, again);
    });
    check("7.jsonl, line 2: this is not a line", &|files| files[1].1[1] = "x".into());
    check("7.jsonl, line 1: the file begins with line 13", &|files| {
        let other = files[2].1.clone();
        files[2].1 = std::mem::replace(&mut files[1].1, other);
    });
    check("13.jsonl, line 1: lines 7 to 12 of the trail are missing", &|files| drop(files.remove(1)));
    check("13.jsonl, line 3: the trail ends here", &|files| files[2].1.truncate(3));
    check("13.jsonl, line 6: the checkpoint is forged", &|files| {
        let forger = Signer::key(SigningKey::generate());
        let Head { number, hash } = Head::after(17, files[2].1[4].as_bytes());
        let head = Head { number, hash };
        let signed = forger.sign(head, UnixMillis(1_017)).unwrap();
        files[2].1[5] = Told::of(&Event::Checkpoint { signed }).line(head, UnixMillis(1_017));
    });
    check("7.jsonl, line 6: the checkpoint signs other lines than these: what stands after line 5", &|files| {
        files[1].1[1] = files[1].1[1].replace("1.1", "6.6");
        chain_anew(files, 7);
    });
    check("7.jsonl, line 5: the checkpoint is of line 11 and stands in line 11", &|files| {
        files[1].1.remove(1);
        chain_anew(files, 7);
    });
    check("nothing of this trail is signed", &|files| {
        for (_, lines) in files.iter_mut() {
            lines.pop();
        }
        chain_anew(files, 0);
    });
    check("the checkpoint's line was changed", &|files| {
        files[2].1[5] = files[2].1[5].replace("\"at\":1017", "\"at\":1018");
    });
}

#[test]
fn a_shorter_trail_is_told_by_the_checkpoint_alone() {
    let signed = trail(3, 5);
    let shorter = signed.files[..2].to_vec();
    assert!(verified(&shorter, knowing(&signed)).ok, "whole, as far as anybody can tell");
    let verdict = verified(&shorter, with_checkpoint(&signed));
    assert!(told(&verdict)[0].contains("comes after line 17: its end was cut off"), "{:?}", told(&verdict));
}

#[test]
fn checkpoints_that_were_taken_out_are_missed() {
    let mut signed = trail(2, 4_000);
    signed.files[1].1.pop();
    chain_anew(&mut signed.files, 0);
    let verdict = verified(&signed.files, knowing(&signed));
    assert!(told(&verdict)[0].contains("no checkpoint since line 4000"), "{:?}", told(&verdict));
}

#[test]
fn a_folder_is_read_in_the_order_of_its_files_and_a_cut_line_is_found() {
    let signed = trail(3, 5);
    let dir = tempfile::tempdir().unwrap();
    for (first, lines) in &signed.files {
        fs::write(files::file_path(dir.path(), *first), lines.join("\n") + "\n").unwrap();
    }
    let mut read = 0;
    let verdict = folder(dir.path(), with_checkpoint(&signed), |bytes| read += bytes).unwrap();
    assert!(verdict.ok, "{:?}", told(&verdict));
    let bytes: usize = signed.files.iter().flat_map(|(_, lines)| lines).map(|line| line.len() + 1).sum();
    assert_eq!(read, bytes as u64);
    let cut = files::file_path(dir.path(), 13);
    let text = fs::read_to_string(&cut).unwrap();
    fs::write(&cut, text.strip_suffix('\n').unwrap()).unwrap();
    let verdict = folder(dir.path(), knowing(&signed), |_| {}).unwrap();
    assert!(
        told(&verdict)[0].starts_with("000000000013.jsonl, line 6: the file ends within a line"),
        "{:?}",
        told(&verdict)
    );
}

/// Something that somebody does to the lines of a trail.
#[derive(Debug, Clone)]
enum Tampering {
    Flip { line: usize, byte: usize, bit: u8 },
    Remove { line: usize },
    Repeat { line: usize },
    Swap { line: usize, other: usize },
    Insert { line: usize },
}

fn tampering(lines: usize) -> impl Strategy<Value = Tampering> {
    let line = 0..lines;
    prop_oneof![
        4 => (line.clone(), 0..4_096_usize, 0..8_u8).prop_map(|(line, byte, bit)| Tampering::Flip { line, byte, bit }),
        1 => line.clone().prop_map(|line| Tampering::Remove { line }),
        1 => line.clone().prop_map(|line| Tampering::Repeat { line }),
        1 => (line.clone(), line.clone()).prop_map(|(line, other)| Tampering::Swap { line, other }),
        1 => line.prop_map(|line| Tampering::Insert { line }),
    ]
}

fn tamper(lines: &mut Vec<Vec<u8>>, what: &Tampering) {
    match *what {
        Tampering::Flip { line, byte, bit } => {
            let at = byte % lines[line].len();
            lines[line][at] ^= 1 << bit;
        }
        Tampering::Remove { line } => drop(lines.remove(line)),
        Tampering::Repeat { line } => lines.insert(line, lines[line].clone()),
        Tampering::Swap { line, other } => lines.swap(line, other),
        Tampering::Insert { line } => {
            let like = String::from_utf8_lossy(&lines[line]).replace("started", "stopped");
            lines.insert(line, like.into_bytes());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn whatever_is_done_to_a_trail_is_found(what in tampering(32), anew in any::<bool>()) {
        let signed = trail(4, 7);
        let before: Vec<Vec<u8>> =
            signed.files.iter().flat_map(|(_, lines)| lines).map(|line| line.clone().into_bytes()).collect();
        let mut lines = before.clone();
        tamper(&mut lines, &what);
        prop_assume!(lines != before);
        if anew && lines.iter().all(|line| std::str::from_utf8(line).is_ok()) {
            let texts = lines.iter().map(|line| String::from_utf8(line.clone()).unwrap()).collect();
            let mut files = vec![(1, texts)];
            chain_anew(&mut files, 0);
            lines = files.remove(0).1.into_iter().map(String::into_bytes).collect();
            prop_assume!(lines != before);
        }
        let mut verifier = Verifier::new(with_checkpoint(&signed));
        for (index, line) in lines.iter().enumerate() {
            let place = Place { file: None, line: index as u64 + 1 };
            verifier.line(place, line, (index == 0).then_some(1));
        }
        prop_assert!(!verifier.finish().ok, "{:?}", what);
    }
}
