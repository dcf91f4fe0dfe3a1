//! How a program ends: with parked green threads, in a deadlock, by a panic, by `exit`.
//!
//! This is a program without libtest: started by itself, with the name of a case, it is one whose
//! `main` uses green threads; started by cargo, it starts itself once for each case and checks how
//! that ended.

mod util;

use std::cell::Cell;
use std::process::{Command, ExitCode, Stdio, Termination};
use std::rc::Rc;
use std::time::{Duration, Instant};

use evy_runtime::{Builder, WaitList, sleep, spawn, spawn_n, unblock, yield_now};
use util::{HOUR, OnDrop, wait_in};

/// A main that parks very many, in every way, and then does what `$then` says.
macro_rules! parked_then {
    ($then:expr) => {
        || {
            park_very_many();
            let then: fn() -> ExitCode = $then;
            then()
        }
    };
}
const CASE: &str = "EVY_EXIT_CASE";

/// A case: its name, its `main`, and what is known of its end.
struct Case {
    name: &'static str,
    main: fn() -> ExitCode,
    code: i32,
    /// On standard error, each of these.
    says: &'static [&'static str],
    /// And none of these.
    does_not_say: &'static [&'static str],
}

const CASES: &[Case] = &[
    Case {
        name: "fault_29_main_returns_while_others_are_parked",
        main: parked_then!(|| ExitCode::SUCCESS),
        code: 0,
        says: &[],
        does_not_say: &["destructor", "panicked"],
    },
    Case {
        name: "fault_29_main_returns_a_code_while_others_are_parked",
        main: parked_then!(|| ExitCode::from(7)),
        code: 7,
        says: &[],
        does_not_say: &["destructor", "panicked"],
    },
    Case {
        name: "fault_29_main_exits_while_others_are_parked",
        main: parked_then!(|| std::process::exit(8)),
        code: 8,
        says: &[],
        does_not_say: &["destructor", "panicked"],
    },
    Case {
        name: "fault_29_main_panics_while_others_are_parked",
        main: parked_then!(|| panic!("in main")),
        code: 101,
        says: &["in main"],
        does_not_say: &["destructor", "in green thread"],
    },
    Case {
        name: "a_green_thread_exits_while_others_are_parked",
        main: parked_then!(|| {
            spawn_n(|| std::process::exit(9));
            sleep(HOUR);
            ExitCode::SUCCESS
        }),
        code: 9,
        says: &[],
        does_not_say: &["destructor", "panicked"],
    },
    Case {
        name: "a_green_thread_exits_on_another_os_thread",
        main: parked_then!(|| {
            let other = std::thread::spawn(|| {
                spawn_n(|| std::process::exit(10));
                sleep(HOUR);
            });
            other.join().unwrap();
            ExitCode::SUCCESS
        }),
        code: 10,
        says: &[],
        does_not_say: &["destructor", "panicked"],
    },
    Case {
        name: "main_returns_while_a_job_runs",
        main: parked_then!(|| {
            spawn_n(|| {
                unblock(|| {
                    let start = Instant::now();
                    while start.elapsed() < HOUR {
                        std::hint::spin_loop();
                    }
                });
            });
            yield_now();
            ExitCode::SUCCESS
        }),
        code: 0,
        says: &[],
        does_not_say: &["destructor", "panicked"],
    },
    Case {
        name: "main_returns_while_one_is_suspended_unwinding",
        main: parked_then!(|| {
            let list = Rc::new(WaitList::new());
            let unwinds = spawn(move || {
                let _guard = OnDrop(|| wait_in(&list));
                sleep(HOUR);
            });
            yield_now();
            unwinds.kill();
            ExitCode::SUCCESS
        }),
        code: 0,
        says: &[],
        does_not_say: &["destructor", "panicked"],
    },
    Case {
        name: "a_deadlock_of_main_ends_the_program_with_the_list",
        main: || {
            let worker = Builder::new().name("worker-7").spawn(|| sleep(Duration::MAX)).unwrap();
            worker.wait().unwrap();
            ExitCode::SUCCESS
        },
        code: 101,
        says: &[
            "panicked at",
            "deadlock: this OS thread's own stack waits for the end of green thread #",
            "'worker-7', spawned at runtime/tests/exit.rs:",
            "waits for the end of a sleep, for 0.",
        ],
        does_not_say: &["in green thread"],
    },
    Case {
        name: "a_main_that_returns_what_a_green_thread_gave",
        main: || {
            let code = spawn(|| {
                let ran = Rc::new(Cell::new(false));
                let _guard = OnDrop(|| eprintln!("its destructor"));
                yield_now();
                ran.set(true);
                ExitCode::from(11)
            });
            code.wait().unwrap()
        },
        code: 11,
        says: &["its destructor"],
        does_not_say: &["panicked"],
    },
];

fn park_very_many() {
    let count = if util::is_asan() { 1_000 } else { 10_000 };
    let list = Rc::new(WaitList::new());
    for n in 0..count {
        let list = Rc::clone(&list);
        spawn_n(move || {
            let _guard = OnDrop(|| eprintln!("a destructor"));
            match n % 3 {
                0 => sleep(Duration::MAX),
                1 => sleep(HOUR),
                _ => wait_in(&list),
            }
        });
    }
    yield_now();
    // These have not started.
    for _ in 0..10 {
        let guard = OnDrop(|| eprintln!("a destructor"));
        spawn_n(move || {
            let _guard = guard;
            sleep(HOUR);
        });
    }
    eprintln!("parked at {}", now());
}

/// Milliseconds on a clock that all processes share.
fn now() -> u128 {
    std::time::UNIX_EPOCH.elapsed().expect("it is after 1970").as_millis()
}

fn main() -> ExitCode {
    if let Some(name) = std::env::var_os(CASE) {
        let case = CASES.iter().find(|case| name == case.name).expect("one of the cases");
        return (case.main)();
    }
    let failed = CASES.iter().filter(|case| !passes(case)).count();
    if failed > 0 { ExitCode::FAILURE } else { ().report() }
}

/// FAULTS rows 29 and 30, Semantics B 48.
fn passes(case: &Case) -> bool {
    let mut command = Command::new(std::env::current_exe().expect("a test is a file"));
    command.env(CASE, case.name).env_remove("RUST_BACKTRACE");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let _watchdog = util::Watchdog::new(case.name);
    let output = command.output().expect("this very program can be started");
    let end = now();
    let stderr = String::from_utf8_lossy(&output.stderr);
    let parked = stderr.lines().find_map(|line| line.strip_prefix("parked at "));
    // A hundredth of this, undisturbed.
    let is_prompt = parked.is_none_or(|at| end < at.parse::<u128>().expect("a number") + 2_000);
    let passes = is_prompt
        && output.status.code() == Some(case.code)
        && case.says.iter().all(|text| stderr.contains(text))
        && !case.does_not_say.iter().any(|text| stderr.contains(text));
    println!("test {} ... {}", case.name, if passes { "ok" } else { "FAILED" });
    if !passes {
        println!("{}, expected code {}\n{stderr}", output.status, case.code);
    }
    passes
}
