//! `DagPool`: results reach who depends on them, in order, and so do failures.

mod util;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::error::Error;
use std::hash::{Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use evy_pool::{Collision, DagInputs, DagPool};
use evy_runtime::{Died, GreenThreadId, current, kill, sleep, spawn, spawn_n, timeout, yield_now};
use util::{
    Census, Counted, Gate, HOUR, Log, OnDrop, Watchdog, at_once, panic_of, payload_of, settle,
};

type Dag = DagPool<&'static str, &'static str>;

/// The texts `a=1`, … of results.
fn texts(results: impl IntoIterator<Item = (&'static str, &'static str)>) -> Vec<String> {
    results.into_iter().map(|(key, value)| format!("{key}={value}")).collect()
}

/// A node's function: logs each input, waits at the gate, and returns its key.
fn observe(
    log: &Log,
    gate: &Gate,
) -> impl Fn(DagInputs<&'static str, &'static str>) -> &'static str + use<> {
    let (log, gate) = (log.clone(), gate.clone());
    move |mut inputs| {
        let own = *inputs.key();
        for (key, _) in &mut inputs {
            log.add(format!("{own} got {key}"));
        }
        gate.pass();
        log.add(format!("{own} returns"));
        own
    }
}

/// Ends a node with its first input, if there is one.
fn first(mut inputs: DagInputs<&'static str, &'static str>) -> &'static str {
    inputs.next().map_or("nothing", |(_, value)| value)
}

/// Whether `f` ran without letting anybody else run.
fn without_parking<T>(f: impl FnOnce() -> T) -> T {
    let ran = Rc::new(Cell::new(false));
    spawn_n({
        let ran = Rc::clone(&ran);
        move || ran.set(true)
    });
    let result = f();
    assert!(!ran.get(), "it parked");
    result
}

/// Upstream's `test_init`.
#[test]
fn what_was_loaded_before_is_there_at_once() {
    let dag: Dag = DagPool::new([]);
    assert!(without_parking(|| dag.waitall()).unwrap().is_empty());
    let loaded = [("a", 1), ("b", 2), ("c", 3)];
    let dag = DagPool::new(loaded);
    assert_eq!(without_parking(|| dag.waitall()).unwrap(), HashMap::from(loaded));
    let dag = DagPool::new([("a", 1), ("a", 2)]);
    assert_eq!((dag.wait_one("a").unwrap(), dag.keys()), (2, vec!["a"]));
    assert!(DagPool::<u32, u32>::default().keys().is_empty());
}

/// Upstream's `test_wait_each_empty`.
#[test]
fn waiting_for_nothing_is_over_at_once() {
    let dag: Dag = DagPool::new([]);
    assert_eq!(without_parking(|| dag.wait_each([]).count()), 0);
    assert!(without_parking(|| dag.wait([])).unwrap().is_empty());
}

/// Upstream's `test_wait_each_preload`.
#[test]
fn results_that_are_there_come_in_the_order_asked_for_and_once_each() {
    let dag = DagPool::new([("a", "1"), ("b", "2"), ("c", "3")]);
    let results = without_parking(|| {
        dag.wait_each(["c", "a", "c"]).map(|(key, value)| (key, value.unwrap())).collect::<Vec<_>>()
    });
    assert_eq!(texts(results), ["c=3", "a=1"]);
    assert_eq!(dag.wait(["b", "c"]).unwrap(), HashMap::from([("b", "2"), ("c", "3")]));
}

/// Upstream's `test_wait_each_posted` and `test_wait_posted`.
#[test]
fn results_come_as_they_are_posted() {
    let (dag, log) = (DagPool::new([("a", "1")]), Log::new());
    let iterates = spawn({
        let (dag, log) = (dag.clone(), log.clone());
        move || {
            let mut results = dag.wait_each(["b", "c", "d", "a"]);
            while let Some((key, value)) = results.next() {
                log.add(format!("{key}={}, {} left", value.unwrap(), results.len()));
            }
        }
    });
    let collects = spawn({
        let dag = dag.clone();
        move || dag.wait(["b", "c", "d", "a"]).unwrap().len()
    });
    settle();
    assert_eq!(log.take(), ["a=1, 3 left"]);
    dag.post("d", "4").unwrap();
    dag.post("b", "2").unwrap();
    settle();
    assert_eq!(log.take(), ["d=4, 2 left", "b=2, 1 left"]);
    assert!(!collects.is_finished());
    dag.post("c", "3").unwrap();
    settle();
    assert_eq!(log.take(), ["c=3, 0 left"]);
    iterates.wait().unwrap();
    assert_eq!(collects.wait().unwrap(), 4);
    assert_eq!(dag.keys(), ["a", "d", "b", "c"]);
}

/// Upstream's `test_spawn_collision_*` and `test_post_collision_*`.
#[test]
fn a_key_that_has_a_result_or_a_node_is_refused() {
    let dag = DagPool::new([("loaded", "1")]);
    dag.post("posted", "2").unwrap();
    dag.spawn("spawned", [], |_| "3").unwrap();
    for _ in 0..2 {
        for key in ["loaded", "posted", "spawned"] {
            assert_eq!(dag.spawn(key, [], |_| unreachable!()), Err(Collision { key }));
            assert_eq!(dag.post(key, "again"), Err(Collision { key }));
            assert_eq!(dag.post_error(key, Died::Killed), Err(Collision { key }));
            let many = [("fresh", vec![]), (key, vec![])];
            assert_eq!(dag.spawn_many(many, |_| unreachable!()), Err(Collision { key }));
        }
        // Once while the node has not begun, once when it has ended.
        dag.wait_one("spawned").unwrap();
    }
    assert_eq!((dag.running(), dag.get(&"fresh").is_none()), (0, true));
    assert_eq!(dag.waitall().unwrap().len(), 3);
    let error: Box<dyn Error> = Box::new(dag.post("posted", "again").unwrap_err());
    assert_eq!(error.to_string(), r#"a DagPool has "posted" already"#);
}

#[test]
fn a_key_that_is_twice_in_one_spawn_many_is_refused() {
    let dag: Dag = DagPool::new([]);
    let twice = [("a", vec![]), ("b", vec![]), ("a", vec![])];
    assert_eq!(dag.spawn_many(twice, |_| unreachable!()), Err(Collision { key: "a" }));
    settle();
    assert_eq!(dag.running(), 0);
}

/// Upstream's `test_spawn_multiple`.
#[test]
fn a_node_gets_each_result_as_it_comes_and_the_counts_follow() {
    let (dag, log) = (DagPool::new([("a", "a"), ("b", "b")]), Log::new());
    let gates: HashMap<_, _> = ["d", "e", "f"].map(|key| (key, Gate::new())).into();
    for key in ["d", "e", "f"] {
        dag.spawn(key, [], observe(&log, &gates[key])).unwrap();
    }
    let open = Gate::new();
    open.open();
    dag.spawn("h", ["a", "b", "d", "e", "f"], observe(&log, &open)).unwrap();
    settle();
    assert_eq!(log.take(), ["h got a", "h got b"]);
    assert_eq!((dag.running(), dag.waiting()), (4, 1));
    assert_eq!(dag.running_keys(), ["d", "e", "f", "h"]);
    assert_eq!(dag.keys(), ["a", "b"]);
    assert!(dag.get(&"d").is_none());
    assert_eq!(dag.waiting_for(&"h"), Some(vec!["d", "e", "f"]));
    assert_eq!(dag.waiting_for(&"d"), Some(vec![]));
    assert_eq!(dag.waiting_for(&"a"), Some(vec![]));
    assert_eq!(dag.waiting_for(&"j"), None);

    gates["e"].open();
    settle();
    assert_eq!(log.take(), ["e returns", "h got e"]);
    assert_eq!((dag.running(), dag.waiting()), (3, 1));
    assert_eq!(dag.waiting_for(&"h"), Some(vec!["d", "f"]));
    assert_eq!(dag.get(&"e").unwrap().unwrap(), "e");

    gates["f"].open();
    gates["d"].open();
    settle();
    assert_eq!(log.take(), ["f returns", "d returns", "h got f", "h got d", "h returns"]);
    assert_eq!((dag.running(), dag.waiting()), (0, 0));
    assert_eq!(dag.waiting_for(&"h"), Some(vec![]));
    assert_eq!(dag.keys(), ["a", "b", "e", "f", "d", "h"]);
}

/// Upstream's `test_spawn_many`.
#[test]
fn a_graph_runs_from_what_depends_on_nothing_to_the_end() {
    let (dag, log): (Dag, _) = (DagPool::new([]), Log::new());
    let depends = [
        ("e", vec!["c", "d"]),
        ("d", vec!["b", "c"]),
        ("c", vec!["a"]),
        ("b", vec!["a"]),
        ("a", vec![]),
    ];
    let waiter = spawn({
        let (dag, log) = (dag.clone(), log.clone());
        move || {
            dag.waitall().unwrap();
            log.add("waitall");
        }
    });
    let (own, ended) = (dag.clone(), log.clone());
    dag.spawn_many(depends, move |mut inputs| {
        let key = *inputs.key();
        inputs.by_ref().for_each(drop);
        ended.add(key);
        // What it returns then counts for nothing.
        own.post(key, key).unwrap();
        assert_eq!(own.post(key, key), Err(Collision { key }));
        own.replace(key, "replaced").unwrap();
        settle();
        "returned"
    })
    .unwrap();
    waiter.wait().unwrap();
    // Of b and c, which wait for the same, the one that was spawned first goes first.
    assert_eq!(log.take(), ["a", "c", "b", "d", "e", "waitall"]);
    assert_eq!(dag.wait_one("e").unwrap(), "replaced");
}

/// Upstream's `test_wait_each_all`.
#[test]
fn a_chain_gives_one_result_after_the_other() {
    let (dag, log) = (DagPool::new([("a", "a")]), Log::new());
    let links = [("b", "a"), ("c", "b"), ("d", "c"), ("e", "d")];
    let gates = links.map(|_| Gate::new());
    for ((key, depends), gate) in links.into_iter().zip(&gates) {
        dag.spawn(key, [depends], observe(&log, gate)).unwrap();
    }
    let mut results = dag.wait_each(dag.keys().into_iter().chain(dag.running_keys()));
    assert_eq!(results.next().unwrap().0, "a");
    for (n, (key, _)) in links.into_iter().enumerate() {
        settle();
        assert_eq!((dag.keys().len(), dag.get(&key).is_none()), (n + 1, true));
        gates[n].open();
        assert_eq!(results.next().unwrap().0, key);
    }
    assert!(results.next().is_none());
}

/// Upstream's `test_kill`.
#[test]
fn a_killed_node_is_forgotten() {
    let dag: Dag = DagPool::new([]);
    assert!(!dag.kill(&"a"));
    dag.spawn("a", [], |_| unreachable!("it is killed before its first run")).unwrap();
    assert!(dag.kill(&"a"));
    settle();
    assert!(dag.get(&"a").is_none());
    assert!(!dag.kill(&"a"));
    assert_eq!((dag.running(), dag.waiting_for(&"a")), (0, None));
    dag.spawn("a", [], |_| "again").unwrap();
    settle();
    assert!(!dag.kill(&"a"));
    assert_eq!(dag.get(&"a").unwrap().unwrap(), "again");
}

/// Upstream's `test_post_collision_spawn`.
#[test]
fn who_waits_for_a_killed_node_gets_what_is_posted_in_its_stead() {
    let dag: Dag = DagPool::new([]);
    dag.spawn("a", [], |_| {
        sleep(HOUR);
        unreachable!("it is killed");
    })
    .unwrap();
    dag.spawn("b", ["a"], first).unwrap();
    settle();
    assert!(dag.kill(&"a"));
    settle();
    assert_eq!(dag.waiting_for(&"b"), Some(vec!["a"]));
    dag.post("a", "posted").unwrap();
    assert_eq!(dag.wait_one("b").unwrap(), "posted");
}

/// One that catches its kill and goes on is not the key's node any more.
#[test]
fn what_a_forgotten_node_returns_goes_nowhere() {
    let (dag, late, second): (Dag, _, _) = (DagPool::new([]), Gate::new(), Gate::new());
    dag.spawn("a", [], {
        let late = late.clone();
        move |_| {
            let caught = catch_unwind(AssertUnwindSafe(|| sleep(HOUR)));
            assert!(caught.is_err());
            while catch_unwind(AssertUnwindSafe(|| late.pass())).is_err() {}
            "late"
        }
    })
    .unwrap();
    yield_now();
    assert!(dag.kill(&"a"));
    dag.spawn("a", [], {
        let second = second.clone();
        move |_| {
            second.pass();
            "second"
        }
    })
    .unwrap();
    settle();
    late.open();
    settle();
    assert_eq!((dag.running(), dag.get(&"a").is_none()), (1, true));
    second.open();
    assert_eq!((dag.wait_one("a").unwrap(), dag.running()), ("second", 0));
}

/// `kill` is for the pool's users. A node that is killed by its id, or by `kill_all`, has failed.
#[test]
fn a_node_that_is_killed_from_elsewhere_has_failed() {
    for is_started in [true, false] {
        let (dag, id): (Dag, _) = (DagPool::new([]), Rc::new(Cell::new(None::<GreenThreadId>)));
        dag.spawn("a", [], |_| {
            sleep(HOUR);
            unreachable!("it is killed");
        })
        .unwrap();
        dag.spawn("b", ["a"], {
            let id = Rc::clone(&id);
            move |inputs| {
                id.set(Some(current()));
                first(inputs)
            }
        })
        .unwrap();
        is_started.then(settle);
        if is_started {
            assert!(kill(id.get().unwrap()));
            let error = dag.wait_one("b").unwrap_err();
            assert!(matches!(error.died(), Died::Killed));
        }
        evy_runtime::kill_all();
        let error = dag.wait_one("a").unwrap_err();
        assert_eq!(error.to_string(), r#""a" has no result: green thread was killed"#);
        assert!(dag.waitall().is_err());
        assert_eq!(dag.running(), 0);
    }
}

/// A node may end itself in either way.
#[test]
fn a_node_may_kill_itself() {
    let dag: Dag = DagPool::new([]);
    for by_key in [true, false] {
        let own = dag.clone();
        dag.spawn("a", [], move |_| {
            if by_key {
                own.kill(&"a")
            } else {
                kill(current())
            };
            unreachable!("it has unwound");
        })
        .unwrap();
        settle();
        assert_eq!((dag.running(), dag.get(&"a").is_none()), (0, by_key));
    }
}

/// Upstream's `test_post_replace`.
#[test]
fn a_replaced_result_is_the_one_that_comes() {
    let dag = DagPool::new([("a", "1")]);
    let mut results = dag.wait_each(["a"]);
    dag.replace("a", "2").unwrap();
    dag.replace("b", "first").unwrap();
    assert_eq!(results.next().unwrap().1.unwrap(), "2");
    assert_eq!(dag.get(&"a").unwrap().unwrap(), "2");
    assert_eq!(dag.wait(["a", "b"]).unwrap(), HashMap::from([("a", "2"), ("b", "first")]));
    assert_eq!(dag.keys(), ["a", "b"]);
    dag.spawn("c", [], |_| "node").unwrap();
    assert_eq!(dag.replace("c", "other"), Err(Collision { key: "c" }));
    assert_eq!(dag.wait_one("c").unwrap(), "node");
    dag.replace("c", "other").unwrap();
    assert_eq!(dag.wait_one("c").unwrap(), "other");
}

/// Upstream's `test_getitem`.
#[test]
fn one_may_wait_for_a_key_before_anybody_knows_it() {
    let dag: Dag = DagPool::new([]);
    let waiter = spawn({
        let dag = dag.clone();
        move || dag.wait_one("a").unwrap()
    });
    settle();
    dag.spawn("a", [], |_| "1").unwrap();
    assert!(!waiter.is_finished());
    assert_eq!(waiter.wait().unwrap(), "1");
}

/// Upstream's `test_waitall_exc` and `test_wait_each_exc`.
#[test]
fn the_panic_of_a_node_is_the_error_of_who_waits_for_it() {
    let dag: Dag = DagPool::new([]);
    dag.spawn("a", [], |_| panic!("no data")).unwrap();
    let error = dag.waitall().unwrap_err();
    assert_eq!(*error.key(), "a");
    assert!(error.upstream().is_none());
    assert_eq!(error.to_string(), r#""a" has no result: green thread panicked: no data"#);
    let source = error.source().unwrap().downcast_ref::<Died>().unwrap();
    assert!(matches!(source, Died::Panicked(_)));
    assert_eq!(dag.wait(["a"]).unwrap_err().to_string(), error.to_string());
    assert_eq!(dag.wait_one("a").unwrap_err().to_string(), error.to_string());
    assert_eq!(dag.get(&"a").unwrap().unwrap_err().to_string(), error.to_string());
    let (key, result) = dag.wait_each(["a"]).next().unwrap();
    assert_eq!((key, result.unwrap_err().to_string()), ("a", error.to_string()));
}

/// Upstream's `test_propagate_exc`.
#[test]
fn a_failure_goes_down_the_graph_and_tells_its_way() {
    let (dag, log): (Dag, _) = (DagPool::new([("x", "1")]), Log::new());
    dag.spawn("a", [], |_| panic!("no data")).unwrap();
    for (key, depends) in [("b", "a"), ("c", "b")] {
        let log = log.clone();
        dag.spawn(key, ["x", depends], move |inputs| {
            let _destructors_run = log.on_drop(key);
            inputs.for_each(drop);
            unreachable!("it has unwound");
        })
        .unwrap();
    }
    dag.spawn("untouched", ["x"], first).unwrap();
    let error = dag.wait_one("c").unwrap_err();
    assert_eq!(error.keys().collect::<Vec<_>>(), [&"c", &"b", &"a"]);
    assert_eq!(error.died().to_string(), "green thread panicked: no data");
    assert_eq!(
        error.to_string(),
        r#""c" has no result, for "b" has none, for "a" has none: green thread panicked: no data"#
    );
    let b = error.upstream().unwrap();
    assert_eq!(error.source().unwrap().to_string(), b.to_string());
    assert_eq!(b.source().unwrap().to_string(), b.upstream().unwrap().to_string());
    assert_eq!(log.take(), ["b", "c"]);
    assert_eq!(dag.wait_one("untouched").unwrap(), "1");
    assert_eq!(*dag.waitall().unwrap_err().key(), "a", "where it began");
    let text = format!("{error:?}");
    assert!(text.contains(r#"keys: ["c", "b", "a"]"#), "{text}");
}

/// It is no panic, so std's hook must not print it.
#[test]
fn a_failure_that_goes_down_the_graph_prints_nothing() {
    const NAME: &str = "a_failure_that_goes_down_the_graph_prints_nothing";
    if util::is_child(NAME) {
        let dag: Dag = DagPool::new([]);
        dag.spawn("a", [], |_| panic!("said once")).unwrap();
        dag.spawn("b", ["a"], first).unwrap();
        dag.spawn("c", ["b"], first).unwrap();
        return assert!(dag.waitall().is_err());
    }
    let ended = util::Child::new(NAME).run();
    assert!(ended.status.success(), "{ended:?}");
    assert_eq!(ended.stderr.matches("panicked at").count(), 1, "{}", ended.stderr);
}

/// Upstream's `test_post_get_exc`.
#[test]
fn a_posted_failure_is_as_good_as_a_nodes() {
    let dag: Dag = DagPool::new([("a", "1")]);
    dag.post_error("b", Died::Panicked(Box::new("no route"))).unwrap();
    let error = dag.get(&"b").unwrap().unwrap_err();
    assert_eq!(error.to_string(), r#""b" has no result: green thread panicked: no route"#);
    assert!(dag.wait(["a", "b"]).is_err());
    assert!(dag.waitall().is_err());
    assert_eq!(dag.wait(["a"]).unwrap(), HashMap::from([("a", "1")]));
    let (good, bad): (Vec<_>, Vec<_>) = dag.wait_each(["a", "b"]).partition(|item| item.1.is_ok());
    assert_eq!((good[0].0, bad[0].0), ("a", "b"));
    dag.spawn("c", ["b"], first).unwrap();
    assert_eq!(dag.wait_one("c").unwrap_err().keys().count(), 2);
    dag.replace("b", "mended").unwrap();
    assert_eq!(dag.wait_one("b").unwrap(), "mended");
}

/// A node has other uses for a failure than to fail.
#[test]
fn a_node_may_go_on_without_what_failed() {
    let dag: Dag = DagPool::new([("c", "spare")]);
    dag.spawn("a", [], |_| panic!("no data")).unwrap();
    dag.spawn("b", ["a", "c"], |inputs| {
        let mut results = inputs.into_results();
        assert_eq!(results.size_hint(), (2, Some(2)));
        results.find_map(|(_, result)| result.ok()).unwrap()
    })
    .unwrap();
    dag.spawn("d", ["a", "c"], |mut inputs| {
        assert!(inputs.next().is_some());
        // A failure that is caught is not the last word.
        let payload = payload_of(|| inputs.next());
        assert!(inputs.next().is_none());
        drop(payload);
        "caught"
    })
    .unwrap();
    assert_eq!(dag.wait_one("b").unwrap(), "spare");
    assert_eq!(dag.wait_one("d").unwrap(), "caught");
}

/// A failure that was caught has nothing to do with a later panic, nor has one of another node's.
#[test]
fn a_panic_after_a_failure_is_a_panic() {
    let dag: Dag = DagPool::new([]);
    dag.spawn("a", [], |_| panic!("no data")).unwrap();
    dag.spawn("b", ["a"], |mut inputs| {
        drop(payload_of(|| inputs.next()));
        panic!("own");
    })
    .unwrap();
    let error = dag.wait_one("b").unwrap_err();
    assert!(error.upstream().is_none());
    assert_eq!(error.died().to_string(), "green thread panicked: own");

    let lent = Rc::new(RefCell::new(None));
    dag.spawn("lender", ["a"], {
        let lent = Rc::clone(&lent);
        move |inputs| {
            *lent.borrow_mut() = Some(inputs);
            "lent"
        }
    })
    .unwrap();
    settle();
    let mut inputs = lent.take().unwrap();
    dag.spawn("c", ["a"], move |mut own| {
        drop(payload_of(|| own.next()));
        inputs.next().unwrap().1
    })
    .unwrap();
    let error = dag.wait_one("c").unwrap_err();
    assert_eq!((error.keys().count(), dag.wait_one("lender").unwrap()), (1, "lent"));
}

/// What it gave its key stands.
#[test]
fn a_node_that_posts_and_then_panics_has_its_result() {
    let (dag, gate): (Dag, _) = (DagPool::new([]), Gate::new());
    dag.spawn("a", [], {
        let (dag, gate) = (dag.clone(), gate.clone());
        move |_| {
            dag.post("a", "posted").unwrap();
            assert_eq!(dag.wait_one("a").unwrap(), "posted");
            gate.pass();
            panic!("too late");
        }
    })
    .unwrap();
    assert_eq!(dag.wait_one("a").unwrap(), "posted");
    assert_eq!(dag.running(), 1);
    gate.open();
    assert_eq!(dag.waitall().unwrap().len(), 1);
}

/// FAULTS row 41: a wait that could never return.
#[test]
fn fault_41_a_node_cannot_wait_for_itself() {
    let dag: Dag = DagPool::new([]);
    let texts = Rc::new(RefCell::new(Vec::new()));
    dag.spawn("a", [], {
        let (dag, texts) = (dag.clone(), Rc::clone(&texts));
        move |_| {
            texts.borrow_mut().push(panic_of(|| dag.waitall()));
            texts.borrow_mut().push(panic_of(|| dag.wait_one("a")));
            "done"
        }
    })
    .unwrap();
    assert_eq!(dag.waitall().unwrap().len(), 1);
    assert_eq!(
        texts.take(),
        [
            "a node of a DagPool cannot wait for the end of all of them",
            "a node of a DagPool cannot wait for its own result"
        ]
    );
    let text = panic_of(|| dag.spawn("b", ["b"], first));
    assert_eq!(text, "a node of a DagPool cannot depend on itself");
    assert!(dag.post("b", "free").is_ok());
}

/// FAULTS row 41: what nobody gives, and circles, are deadlocks that say what they are.
#[test]
fn fault_41_a_result_that_nobody_gives_is_a_deadlock_that_names_the_nodes() {
    let dag: Dag = DagPool::new([]);
    dag.spawn("a", ["b"], first).unwrap();
    dag.spawn("b", ["a"], first).unwrap();
    let text = panic_of(|| dag.waitall());
    assert!(text.contains("own stack waits for the last node of a DagPool"), "{text}");
    assert_eq!(text.matches("waits for a result in a DagPool").count(), 2, "{text}");
    assert_eq!(text.matches("pool/tests/dag_pool.rs").count(), 2, "{text}");
    assert_eq!(dag.running_keys(), ["a", "b"]);
    assert_eq!(dag.waiting_for(&"a"), Some(vec!["b"]));
    assert!(dag.kill(&"a"));
    dag.post("a", "cut").unwrap();
    assert_eq!(dag.waitall().unwrap().len(), 2);
}

/// FAULTS row 53: a result is there for everybody, whoever was cut off.
#[test]
fn fault_53_a_wait_that_is_cut_off_loses_no_result() {
    let dag: Dag = DagPool::new([]);
    let mut results = dag.wait_each(["a", "b"]);
    assert!(timeout(Duration::from_millis(1), || results.next()).is_err());
    let [killed, stays] = [(); 2].map(|()| {
        let dag = dag.clone();
        spawn(move || dag.wait(["a", "b"]).unwrap().len())
    });
    dag.spawn("c", ["b", "a"], first).unwrap();
    yield_now();
    dag.post("a", "1").unwrap();
    // Woken, and not resumed.
    killed.kill();
    assert_eq!(results.next().unwrap().0, "a");
    dag.post("b", "2").unwrap();
    assert_eq!(results.next().unwrap().0, "b");
    assert_eq!(stays.wait().unwrap(), 2);
    assert_eq!(dag.wait_one("c").unwrap(), "1");
    assert!(matches!(killed.wait(), Err(Died::Killed)));
}

/// FAULTS row 53: nobody in line for the end of all is in the way of the others.
#[test]
fn fault_53_a_waitall_that_is_cut_off_keeps_no_other_from_returning() {
    let (dag, gate): (Dag, _) = (DagPool::new([]), Gate::new());
    dag.spawn("a", [], {
        let gate = gate.clone();
        move |_| {
            gate.pass();
            "1"
        }
    })
    .unwrap();
    let [killed, stays] = [(); 2].map(|()| {
        let dag = dag.clone();
        spawn(move || dag.waitall().unwrap().len())
    });
    assert!(timeout(Duration::from_millis(1), || dag.waitall()).is_err());
    killed.kill();
    gate.open();
    assert_eq!(stays.wait().unwrap(), 1);
}

/// Who waits for the same key is woken in the order of the calls.
#[test]
fn who_waits_is_served_first_come_first() {
    let (dag, log): (Dag, _) = (DagPool::new([]), Log::new());
    for n in 0..5 {
        let (dag, log) = (dag.clone(), log.clone());
        spawn_n(move || {
            dag.wait_one("a").unwrap();
            log.add(n.to_string());
        });
    }
    yield_now();
    dag.post("a", "1").unwrap();
    settle();
    assert_eq!(log.take(), ["0", "1", "2", "3", "4"]);
}

#[test]
fn nodes_may_spawn_nodes_and_waitall_waits_for_them() {
    fn halve(dag: &DagPool<u32, u32>, n: u32) {
        let own = dag.clone();
        let depends = (n > 1).then_some(n / 2);
        let spawned = dag.spawn(n, depends, move |inputs| {
            if n > 1 {
                halve(&own, n / 2);
            }
            inputs.map(|(_, depth)| depth).sum::<u32>() + 1
        });
        spawned.unwrap();
    }
    let dag = DagPool::new([]);
    halve(&dag, 1000);
    assert_eq!(dag.waitall().unwrap()[&1000], 10);
    assert_eq!(dag.keys().len(), 10);
}

/// A node needs no dependency that it has named before.
#[test]
fn a_node_may_ask_for_further_results() {
    let dag = DagPool::new([("which", "b"), ("a", "1"), ("b", "2")]);
    let own = dag.clone();
    dag.spawn("chosen", ["which"], move |inputs| own.wait_one(first(inputs)).unwrap()).unwrap();
    assert_eq!(dag.wait_one("chosen").unwrap(), "2");
}

#[test]
fn a_node_that_lets_go_of_its_inputs_waits_for_nothing() {
    let (dag, gate): (Dag, _) = (DagPool::new([]), Gate::new());
    dag.spawn("a", ["never"], {
        let gate = gate.clone();
        move |inputs| {
            drop(inputs);
            gate.pass();
            "1"
        }
    })
    .unwrap();
    assert_eq!((dag.waiting(), dag.waiting_for(&"a")), (1, Some(vec!["never"])));
    settle();
    assert_eq!((dag.waiting(), dag.waiting_for(&"a")), (0, Some(vec![])));
    gate.open();
    assert_eq!(dag.wait_one("a").unwrap(), "1");
}

#[test]
fn nodes_outlive_the_handles_of_their_pool() {
    let (log, gate) = (Log::new(), Gate::new());
    let dag: Dag = DagPool::new([]);
    let mut results = dag.wait_each(["a"]);
    // Known for longer, spawned later.
    dag.spawn("b", ["c"], first).unwrap();
    dag.spawn("a", [], observe(&log, &gate)).unwrap();
    assert_eq!(dag.running_keys(), ["b", "a"]);
    drop(dag);
    gate.open();
    assert_eq!(results.next().unwrap().1.unwrap(), "a");
    assert_eq!(log.take(), ["a returns"]);
}

#[derive(Clone)]
struct Value(#[expect(dead_code, reason = "it is there for its drop")] Rc<Counted>);

/// Nothing keeps a result but its pool and who has it.
#[test]
fn results_go_with_the_pool() {
    let census = Census::new();
    let one = || Value(Rc::new(census.one()));
    let dag = DagPool::new([("a", one()), ("b", one())]);
    dag.replace("a", one()).unwrap();
    assert_eq!(census.alive(), 2);
    let value = one();
    dag.spawn("c", ["a", "b"], move |inputs| inputs.fold(value, |_, (_, last)| last)).unwrap();
    let value = one();
    dag.spawn("unstarted", ["a"], move |_| value).unwrap();
    assert!(dag.kill(&"unstarted"));
    assert_eq!(census.alive(), 3);
    let mut unread = dag.wait_each(["c", "never"]);
    let results = dag.waitall().unwrap();
    assert_eq!((results.len(), census.alive()), (3, 2), "c is b");
    assert_eq!(unread.next().unwrap().0, "c");
    drop((dag, unread));
    assert_eq!(census.alive(), 2);
    drop(results);
    assert_eq!(census.alive(), 0);
}

/// A key whose `Hash`, `Eq` and `Clone` park and use the pool themselves.
struct Odd {
    number: u32,
    dag: Rc<RefCell<Option<DagPool<Self, Self>>>>,
    depth: Rc<Cell<u32>>,
}

impl Odd {
    fn meddle(&self) {
        let dag = self.dag.borrow().clone();
        if let Some(dag) = dag.filter(|_| self.depth.replace(self.depth.get() + 1) == 0) {
            yield_now();
            let other =
                Self { number: 1000, dag: Rc::clone(&self.dag), depth: Rc::clone(&self.depth) };
            assert!(dag.get(&other).is_none());
            drop((dag.keys(), dag.running_keys(), dag.waiting()));
        }
        self.depth.set(self.depth.get().saturating_sub(1));
    }
}

impl Hash for Odd {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.meddle();
        // All in one bucket: then `Eq` has something to do.
        0.hash(state);
    }
}

impl PartialEq for Odd {
    fn eq(&self, other: &Self) -> bool {
        self.meddle();
        self.number == other.number
    }
}

impl Eq for Odd {}

impl Clone for Odd {
    fn clone(&self) -> Self {
        self.meddle();
        Self { number: self.number, dag: Rc::clone(&self.dag), depth: Rc::clone(&self.depth) }
    }
}

impl Drop for Odd {
    fn drop(&mut self) {
        self.meddle();
    }
}

#[test]
fn keys_and_results_may_park_and_use_the_pool() {
    let _watchdog = Watchdog::new("odd keys");
    let (cell, depth) = (Rc::new(RefCell::new(None)), Rc::new(Cell::new(0)));
    let odd = |number| Odd { number, dag: Rc::clone(&cell), depth: Rc::clone(&depth) };
    let dag = DagPool::new([(odd(0), odd(0))]);
    *cell.borrow_mut() = Some(dag.clone());
    let [adds, waits] = [true, false].map(|adds| {
        let (dag, cell, depth) = (dag.clone(), Rc::clone(&cell), Rc::clone(&depth));
        spawn(move || {
            let odd = |number| Odd { number, dag: Rc::clone(&cell), depth: Rc::clone(&depth) };
            for n in 1..10 {
                if adds {
                    let previous = Some(odd(n - 1));
                    let node = dag.spawn(odd(n), previous, |mut inputs| inputs.next().unwrap().1);
                    assert!(node.is_ok());
                } else {
                    assert!(dag.wait_one(odd(n)).is_ok());
                    assert!(dag.replace(odd(n), odd(n)).is_ok());
                }
            }
        })
    });
    adds.wait().unwrap();
    waits.wait().unwrap();
    assert_eq!(dag.waitall().unwrap_or_default().len(), 10);
    // The circle would keep the pool alive.
    let last = cell.take();
    drop((last, dag));
}

/// A key whose `Eq` panics on purpose.
#[derive(Clone, Debug)]
struct Touchy(u32, Rc<Cell<bool>>);

impl Hash for Touchy {
    fn hash<H: Hasher>(&self, state: &mut H) {
        0.hash(state);
    }
}

impl PartialEq for Touchy {
    fn eq(&self, other: &Self) -> bool {
        assert!(!self.1.get(), "on purpose");
        self.0 == other.0
    }
}

impl Eq for Touchy {}

#[test]
fn a_key_that_panics_leaves_the_pool_as_it_was() {
    let touchy = Rc::new(Cell::new(false));
    let key = |n| Touchy(n, Rc::clone(&touchy));
    let dag = DagPool::new([(key(0), 0), (key(1), 1)]);
    touchy.set(true);
    assert_eq!(panic_of(|| dag.post(key(2), 2)), "on purpose");
    assert_eq!(panic_of(|| dag.spawn(key(3), [key(0)], |_| 3)), "on purpose");
    assert_eq!(panic_of(|| dag.wait([key(0)])), "on purpose");
    touchy.set(false);
    assert_eq!((dag.keys().len(), dag.running()), (2, 0));
    dag.post(key(2), 2).unwrap();
    assert_eq!(dag.wait([key(2), key(0)]).unwrap().len(), 2);
}

/// A result whose `clone` panics is not lost for who iterates.
#[test]
fn a_clone_that_panics_loses_no_result() {
    struct Fragile(Rc<Cell<bool>>);
    impl Clone for Fragile {
        fn clone(&self) -> Self {
            assert!(!self.0.get(), "on purpose");
            Self(Rc::clone(&self.0))
        }
    }
    let fragile = Rc::new(Cell::new(true));
    let dag = DagPool::new([("a", Fragile(Rc::clone(&fragile)))]);
    let mut results = dag.wait_each(["a"]);
    assert_eq!(panic_of(|| results.next()), "on purpose");
    fragile.set(false);
    assert!(results.next().is_some_and(|(_, result)| result.is_ok()));
}

/// Dropping the old result runs its destructor, which may do as it likes.
#[test]
fn the_destructor_of_a_replaced_result_may_use_the_pool() {
    type Shared = Rc<OnDrop<Box<dyn FnMut()>>>;
    let dag: DagPool<&str, Shared> = DagPool::new([]);
    let own = dag.clone();
    let seen = Rc::new(Cell::new(0));
    let count = Rc::clone(&seen);
    let look: Box<dyn FnMut()> = Box::new(move || {
        yield_now();
        count.set(own.keys().len());
        own.post("b", Rc::new(OnDrop(Box::new(|| ())))).unwrap();
    });
    dag.post("a", Rc::new(OnDrop(look))).unwrap();
    dag.replace("a", Rc::new(OnDrop(Box::new(|| ())))).unwrap();
    assert_eq!((seen.get(), dag.keys()), (1, vec!["a", "b"]));
}

/// Long chains, of nodes as well as of failures, need neither a deep stack nor quadratic time.
#[test]
fn a_long_chain_fails_and_is_dropped_without_recursion() {
    let length = at_once(100_000);
    let dag: DagPool<usize, usize> = DagPool::new([]);
    dag.spawn_many((1..length).map(|n| (n, [n - 1])), |mut inputs| inputs.next().unwrap().1 + 1)
        .unwrap();
    dag.post_error(0, Died::Killed).unwrap();
    let error = dag.wait_one(length - 1).unwrap_err();
    assert_eq!(error.keys().count(), length);
    drop(dag);
    assert_eq!(error.keys().last(), Some(&0));
    spawn(move || drop(error)).wait().unwrap();
}

#[test]
fn a_node_with_very_many_dependencies_gets_them_all() {
    let width = at_once(100_000);
    let dag: DagPool<usize, usize> = DagPool::new([]);
    dag.spawn(width, 0..width, |inputs| inputs.map(|(_, n)| n).sum()).unwrap();
    dag.spawn_many((0..width).map(|n| (n, [])), |inputs| *inputs.key()).unwrap();
    assert_eq!(dag.wait_one(width).unwrap(), width * (width - 1) / 2);
    assert_eq!(dag.wait(0..width).unwrap().len(), width);
}
