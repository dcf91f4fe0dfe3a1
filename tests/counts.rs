//! What `make bench-check` says of counts, from those of valgrind to why it fails.

#[path = "../benches/counts/baseline.rs"]
mod baseline;
#[path = "../benches/counts/valgrind.rs"]
#[expect(dead_code, reason = "nothing is counted here")]
mod valgrind;

use baseline::{Baseline, Comparison, Cost, Machine};
use valgrind::collected;

const HERE: [(&str, &str); 2] = [("rustc", "1.95.0"), ("cpu", "avx2 ermsb")];

fn machine(parts: &[(&str, &str)]) -> Machine {
    Machine(parts.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect())
}

fn costs(costs: &[(&str, f64)]) -> Vec<Cost> {
    let cost =
        |&(name, instructions): &(&str, f64)| Cost { operation: name.to_owned(), instructions };
    costs.iter().map(cost).collect()
}

/// Compares `now` with a baseline of this machine in which an echo costs 1,000 instructions.
fn compare(now: &[(&str, f64)]) -> Comparison {
    let baseline = Baseline { machine: machine(&HERE), costs: costs(&[("echo", 1_000.0)]) };
    baseline.compare(&machine(&HERE), &costs(now))
}

#[test]
fn five_percent_more_is_tolerated_and_a_little_above_fails_with_both_figures() {
    assert!(compare(&[("echo", 1_049.0)]).complaints().is_empty());

    let complaints = compare(&[("echo", 1_051.0)]).complaints();
    let expected = "echo costs 1051.0 instructions, 5.1 % more than the 1000.0 of the baseline";
    assert_eq!(complaints, [expected]);
}

#[test]
fn an_improvement_is_told_and_does_not_fail() {
    let small = compare(&[("echo", 951.0)]);
    assert!(small.improvements().is_empty() && small.complaints().is_empty());

    let large = compare(&[("echo", 949.0)]);
    let expected = "echo costs 949.0 instructions, 5.1 % less than the 1000.0 of the baseline";
    assert_eq!(large.improvements(), [expected]);
    assert!(large.complaints().is_empty());
}

#[test]
fn on_another_machine_nothing_fails_and_it_is_said_why() {
    let baseline = Baseline { machine: machine(&HERE), costs: costs(&[("echo", 1_000.0)]) };
    for (there, difference) in [
        ([("rustc", "1.96.0"), ("cpu", "avx2 ermsb")], r#"rustc is "1.96.0" here, "1.95.0" there"#),
        ([("rustc", "1.95.0"), ("cpu", "avx2")], r#"cpu is "avx2" here, "avx2 ermsb" there"#),
    ] {
        for instructions in [100.0, 10_000.0] {
            let now = costs(&[("echo", instructions), ("new", 1.0)]);
            let comparison = baseline.compare(&machine(&there), &now);
            assert_eq!(comparison.differences(), [difference]);
            assert!(comparison.complaints().is_empty());
            assert!(comparison.improvements().is_empty());
            assert_eq!(comparison.rows.len(), 2, "they are printed all the same");
        }
    }
}

#[test]
fn what_only_one_of_the_two_machines_tells_makes_them_differ() {
    let baseline = Baseline { machine: machine(&HERE), costs: Vec::new() };
    let with_more = [HERE[0], HERE[1], ("libc", "glibc 2.36")];
    let more = baseline.compare(&machine(&with_more), &[]);
    assert_eq!(more.differences(), [r#"libc is "glibc 2.36" here, unknown there"#]);
    let less = baseline.compare(&machine(&HERE[..1]), &[]);
    assert_eq!(less.differences(), [r#"cpu is unknown here, "avx2 ermsb" there"#]);
}

#[test]
fn an_operation_that_only_one_side_knows_fails() {
    let complaints = compare(&[("echo", 1_000.0), ("new", 1.0)]).complaints();
    assert_eq!(complaints, ["new is not in the baseline"]);
    let complaints = compare(&[]).complaints();
    assert_eq!(complaints, ["echo is in the baseline, and nobody counts it"]);
}

#[test]
fn a_baseline_is_read_as_it_was_written() {
    let machine =
        machine(&[("rustc", "1.95.0 (5980 2026-04-14)"), ("flags", ""), ("f", "A=-C x=y")]);
    let written = Baseline { machine, costs: costs(&[("echo", 3_604.3), ("yield", 95.6)]) };
    assert_eq!(Baseline::parse(&written.to_string()), Ok(written));
}

#[test]
fn a_line_that_means_nothing_is_named() {
    for line in ["echo", "echo = many", "echo = 0", "echo = -1", "echo = inf", "echo = NaN"] {
        let text = format!("[machine]\nrustc = 1\n\n[instructions]\n{line}\n");
        assert_eq!(Baseline::parse(&text), Err(format!("what is {line:?}?")));
    }
    assert_eq!(Baseline::parse("rustc = 1"), Err("what is \"rustc = 1\"?".to_owned()));
}

#[test]
fn the_committed_baseline_can_be_read() {
    let baseline = Baseline::parse(include_str!("../benches/counts/baseline.txt"));
    let baseline = baseline.expect("make bench-check ARGS=--bless has written it");
    assert!(!baseline.costs.is_empty() && !baseline.machine.0.is_empty());
}

#[test]
fn the_count_is_found_among_what_callgrind_says() {
    let said = "a program's own line, Collected : 5\n\
                ==17== Callgrind, a call-graph generating cache profiler\n\
                ==17== Events    : Ir\n\
                ==17== Collected : 15292173\n\
                ==17== \n\
                ==17== I   refs:      15,292,173\n";
    assert_eq!(collected(said), Some(15_292_173));
    assert_eq!(collected("==17== Process terminating with default action of signal 11\n"), None);
}
