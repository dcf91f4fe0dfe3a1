//! The page "Making a crate green" says what tests have shown, and no more: those of this workspace, and of
//! `tests/crates`.

use std::fs;
use std::path::Path;

/// The folder of the library.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn page() -> String {
    fs::read_to_string(root().join("docs/making_a_crate_green.md")).unwrap()
}

/// Those examples that the library's own tests do not run are part of a test of `tests/crates`, word for word.
#[test]
fn each_example_that_is_not_run_with_the_page_is_part_of_a_test_of_its_own() {
    let folder = fs::read_dir(root().join("tests/crates/tests")).unwrap();
    let sources = folder.map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap());
    let sources: Vec<String> = sources.collect();
    let page = page();
    let examples = page.split("```rust,ignore\n").skip(1);
    let examples: Vec<&str> = examples.map(|rest| rest.split("```").next().unwrap()).collect();
    assert_eq!(examples.len(), 3);
    for example in examples {
        assert!(sources.iter().any(|source| source.contains(example)), "{example}");
    }
}

/// The rows of the table: the crate, how it plugs in, what was run.
fn rows(page: &str) -> impl Iterator<Item = (&str, &str)> {
    let table = page.split("| what was run |").nth(1).expect("the table");
    table.lines().filter(|line| line.starts_with("| ")).map(|line| {
        let columns: Vec<&str> = line.split(" | ").collect();
        assert_eq!(columns.len(), 3, "{line}");
        (columns[0].trim_start_matches("| "), columns[2].trim_end_matches(" |"))
    })
}

#[test]
fn what_was_run_is_there_and_was_run_at_that_version() {
    let locks = ["Cargo.lock", "tests/crates/Cargo.lock"];
    let locks = locks.map(|name| fs::read_to_string(root().join(name)).unwrap());
    let page = page();
    let mut count = 0;
    for (name, run) in rows(&page) {
        let Some((name, version)) = name.strip_prefix("**").and_then(|name| name.split_once("** "))
        else {
            assert_eq!(run, "read", "{name}");
            continue;
        };
        let entry = format!("name = \"{name}\"\nversion = \"{version}\"\n");
        assert!(locks.iter().any(|lock| lock.contains(&entry)), "{name} {version}");
        for file in run.split('`').filter(|part| part.ends_with(".rs")) {
            assert!(root().join(file).exists(), "{name}: {file}");
        }
        count += 1;
    }
    assert_eq!(count, 13);
}
