//! Requests that are malformed, or by which somebody tries to have one taken for two: a table of them, and
//! what becomes of each.

mod raw;

use std::collections::BTreeSet;

use raw::table::{Ends, Keeps, cases};
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

/// Of what is refused, hyper then waits for the empty line, or the time, before it says so.
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
        match witness.send_slowly(&case.bytes, after) {
            Ok(outcome) if outcome.seen == seen && case.statuses.starts_with(&outcome.statuses) => {
            }
            other => wrong.push(format!("{}: {other:?}, not {case:?}", case.name)),
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
