//! Requests that are malformed, or by which somebody tries to have one taken for two: a table of them, and
//! what becomes of each.

mod raw;

use std::collections::BTreeSet;

use raw::table::{Closes, Ends, Keeps, cases};
use raw::{Outcome, Witness};

#[test]
fn fault_19_each_raw_request_gets_the_answer_that_the_table_says() {
    let witness = Witness::start();
    let mut wrong = Vec::new();
    for case in cases() {
        let seen = case.seen.iter().map(|line| (*line).to_owned()).collect();
        let expected = Outcome { statuses: case.statuses.clone(), seen };
        match witness.send(&case.bytes, case.after) {
            Ok(outcome) if outcome == expected => {}
            Ok(outcome) => wrong.push(format!("{}:\n  {outcome:?}\n  not {expected:?}", case.name)),
            Err(text) => wrong.push(format!("{}:\n  {text}", case.name)),
        }
        if !witness.serves() {
            wrong.push(format!("{}:\n  the server does not serve any more", case.name));
        }
    }
    assert!(wrong.is_empty(), "{} rows are wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn the_table_has_two_hundred_rows_of_different_names() {
    let cases = cases();
    let names: BTreeSet<_> = cases.iter().map(|case| case.name).collect();
    assert_eq!(names.len(), cases.len());
    assert!(cases.len() >= 200, "{}", cases.len());
}

/// Rows that get other answers byte by byte.
const OTHERWISE: [(&str, &[u16]); 6] = [
    // hyper waits for an empty line, or for its time to be over, before it says what is wrong with a line;
    // the client ends its side first.
    ("HTTP/0.9 without a version", &[]),
    ("bare CRs everywhere", &[]),
    ("a bare CR as the empty line", &[]),
    ("SMTP", &[]),
    ("SSH", &[]),
    // It is read behind the answer, not along with the request.
    ("the preface of HTTP/2 behind a request", &[200, 400]),
];

#[test]
fn fault_19_a_request_that_comes_byte_by_byte_is_the_same_one() {
    let witness = Witness::start();
    let mut wrong = Vec::new();
    // What is left of a body that nobody reads depends on how much has come.
    let cases = cases();
    let short = cases.iter().filter(|case| {
        case.bytes.len() < 300 && !case.name.contains("reads") && !case.name.ends_with("at once")
    });
    for case in short {
        let after = if case.after == Keeps { Keeps } else { Ends };
        let seen: Vec<_> = case.seen.iter().map(|line| (*line).to_owned()).collect();
        let otherwise = OTHERWISE.iter().find(|(name, _)| *name == case.name);
        let expected = otherwise.map_or(&*case.statuses, |(_, statuses)| statuses);
        // What the client sends behind the end may cost it some of the answers, but not the first.
        let is_cut = |statuses: &[u16]| {
            case.after == Closes && !statuses.is_empty() && expected.starts_with(statuses)
        };
        match witness.send_slowly(&case.bytes, after) {
            Ok(Outcome { statuses, seen: all })
                if all == seen && (statuses == expected || is_cut(&statuses)) => {}
            other => wrong.push(format!("{}: {other:?}, not {expected:?}, {seen:?}", case.name)),
        }
    }
    assert!(wrong.is_empty(), "{} rows are wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn connections_of_bad_requests_do_not_stay() {
    let witness = Witness::start();
    for case in cases().iter().filter(|case| case.bytes.len() < 300) {
        let _ = witness.send(&case.bytes, case.after);
    }
    for _ in 0..1000 {
        if witness.connections() == 0 {
            return;
        }
        evy_runtime::sleep(std::time::Duration::from_millis(5));
    }
    panic!("{} are left", witness.connections());
}
