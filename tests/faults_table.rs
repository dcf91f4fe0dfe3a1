//! `tests/FAULTS.md` names tests that exist, and all of those that the crates have.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Folders, with all below them. Tests of whole programs (`tests/acceptance_*.rs`) repeat some of the rows
/// from outside, and are not in the table.
const CRATES: [&str; 9] =
    ["hub", "runtime", "sync", "green-net", "green-os", "pool", "http", "patched", "cli"];

/// The (file, row) pairs of the table: `` `file`: `fault_NN_*` ``.
fn listed(table: &str) -> BTreeSet<(String, String)> {
    let parts: Vec<&str> = table.split('`').collect();
    let pairs = parts.windows(3).filter(|parts| parts[1] == ": " && parts[2].starts_with("fault_"));
    pairs.map(|parts| (parts[0].to_owned(), parts[2].trim_end_matches('*').to_owned())).collect()
}

/// The (file, row) pairs of the sources.
fn present(root: &Path) -> BTreeSet<(String, String)> {
    let mut folders: Vec<PathBuf> = CRATES.iter().map(|name| root.join(name)).collect();
    let mut found = BTreeSet::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder of the workspace").flatten() {
            let path = entry.path();
            if path.is_dir() && !path.ends_with("target") {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).expect("a source file");
                let name = path.strip_prefix(root).expect("below the root").display().to_string();
                // A test, or a case by that name in a table of cases.
                let tests = text.match_indices("fn fault_").map(|(at, _)| at + "fn ".len());
                let cases = text.match_indices("\"fault_").map(|(at, _)| at + 1);
                for at in tests.chain(cases) {
                    found.insert((name.clone(), text[at..at + "fault_00_".len()].to_owned()));
                }
            }
        }
    }
    found
}

#[test]
fn every_test_of_a_fault_is_in_the_table_and_the_table_names_no_other() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let table = fs::read_to_string(root.join("tests/FAULTS.md")).expect("the table");
    let (listed, present) = (listed(&table), present(root));
    let unlisted: Vec<_> = present.difference(&listed).collect();
    let missing: Vec<_> = listed.difference(&present).collect();
    assert!(
        unlisted.is_empty() && missing.is_empty(),
        "not in the table: {unlisted:?}; in the table alone: {missing:?}"
    );
}
